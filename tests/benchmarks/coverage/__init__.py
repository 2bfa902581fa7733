"""Measured coverage of every interval that Lethe prints, one module for each family of estimates."""
