"""What models are trained for: one file an objective, over the contract of `base`."""
