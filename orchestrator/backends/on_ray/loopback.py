"""Whether this machine reaches itself, which is known before Ray is imported."""

from __future__ import annotations

import errno
import os
import socket

from tasks.errors import AuditError

LOOPBACK = "127.0.0.1"
"""Where a private Ray listens, on machines whose networks know IPv6 alone too."""
SECONDS = 2.0
"""For a connection to be accepted."""


def check_loopback() -> None:
    """Refuse a machine that does not reach itself: processes of Ray would wait for each other, some without end.

    Raises:
        AuditError: nothing that listens there can be reached.
    """
    try:
        with socket.create_server((LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), SECONDS).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        remedy = (
            f"give it that address (ip addr add {LOOPBACK}/8 dev lo)"
            if error.errno == errno.EADDRNOTAVAIL
            else "bring it up (ip link set lo up)"
        )
        raise AuditError(
            f"backend local: Ray's processes talk over {LOOPBACK}, and this machine does not reach it ({reason}); "
            f"{remedy}, or take --backend inline"
        ) from None
