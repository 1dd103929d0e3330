"""Shapes in a function that a finding may come from, judged when names are resolved."""
