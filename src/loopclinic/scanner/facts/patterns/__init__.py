"""Patterns in a function that may be findings, confirmed once names are resolved."""
