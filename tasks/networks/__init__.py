"""Architectures, their layers, and the layer scopes that unlearning is held to."""
