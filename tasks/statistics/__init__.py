"""Intervals and tests over plain numbers. NumPy and SciPy only."""
