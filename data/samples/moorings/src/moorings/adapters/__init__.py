"""Everybody else's systems."""
