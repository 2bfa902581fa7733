"""Numerical work of the audit: data, models, unlearning, attacks, metrics. Runs without Ray."""
