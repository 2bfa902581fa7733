"""How long, how much: what stages took, and what a plan will."""
