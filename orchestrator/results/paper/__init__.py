"""The table of a paper: models by measures, each a mean over seeds."""
