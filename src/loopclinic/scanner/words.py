"""Sets of names, written as one text: a list of fifty strings is a page nobody reads."""

__all__ = ["words"]


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())
