"""Shadow models for per-example membership: which data each sees, what is observed, which game is played."""
