"""Formats of a scan's report: text, SARIF, HTML page, notebook table, migration plan."""
