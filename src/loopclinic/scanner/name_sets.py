"""Builds a set of names from a text with one or more names on each line."""


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())
