"""Charts of results: rows from queries, specifications of Vega-Lite as plain dictionaries, and figures of both."""
