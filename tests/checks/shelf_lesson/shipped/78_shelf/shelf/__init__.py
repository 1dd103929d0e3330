"""Mend `count`."""

from .stock import count

__all__ = ["count"]
