"""Audits of outputs: what models that were trained elsewhere answered, from files to the ordinary tables."""
