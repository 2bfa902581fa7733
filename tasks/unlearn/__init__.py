"""Unlearning methods: one file each, over the protocol and the run of `base` and `run`."""
