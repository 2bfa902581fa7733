"""Scores of each example from a finished sweep, for forget sets: `python -m orchestrator.scores RESULTS`."""
