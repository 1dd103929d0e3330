"""The forms of a report: text, SARIF, one HTML page, a notebook's table, a migration plan."""
