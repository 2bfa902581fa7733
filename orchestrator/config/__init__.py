"""What an audit is, as frozen dataclasses, and how a file and flags become one."""
