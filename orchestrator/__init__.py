"""Plans, runs, stores and queries audits; the only package that imports Ray."""
