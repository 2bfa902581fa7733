"""Settings of all tests."""

from hypothesis import settings

# A wall-clock limit for each example fails where other work has the processors for a moment.
settings.register_profile("lethe", deadline=None)
settings.load_profile("lethe")
