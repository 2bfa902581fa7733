"""One process's share of a sweep: its data, models, cells and shadow models, each made once."""
