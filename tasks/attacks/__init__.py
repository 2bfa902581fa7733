"""Attacks against a model: adversarial (what moves its answer) and membership (what betrays its data)."""
