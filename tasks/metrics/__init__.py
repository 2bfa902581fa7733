"""From per-example numbers to values with intervals. NumPy only."""
