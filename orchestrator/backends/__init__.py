"""The ways to run one plan: in this process, or on Ray."""
