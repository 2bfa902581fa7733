"""Kills sweeps at seeded random moments and compares what they leave with an undisturbed run."""
