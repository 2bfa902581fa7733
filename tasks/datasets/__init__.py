"""Data sets in one canonical order, read without executing anything from outside. NumPy only."""
