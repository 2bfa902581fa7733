"""Result files: their bytes, their names, their columns."""
