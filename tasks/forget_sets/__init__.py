"""Forget sets: which training examples a deletion request names. NumPy only."""
