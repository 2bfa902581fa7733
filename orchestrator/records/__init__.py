"""Measured things as rows of the results, and back."""
