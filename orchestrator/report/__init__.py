"""The report of an audit: one HTML file and vector figures; `python -m orchestrator.report`."""
