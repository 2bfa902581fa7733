"""A notebook on results, in the form of marimo, which imports it before anything else."""
