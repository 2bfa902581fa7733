"""Whether Ray was imported before this package could set what it reads then; the session imports this first."""

import os
import sys

TOO_LATE = "ray" in sys.modules and "RAY_AUTH_MODE" not in os.environ
"""Ray's clients in this process then send no token, which a private Ray asks for."""
