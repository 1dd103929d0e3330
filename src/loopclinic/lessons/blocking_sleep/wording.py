"""Numbers, places and endings, as a reason says them."""

from collections.abc import Mapping
from typing import Any

__all__ = ["at", "count", "ended", "is_error", "raised", "span"]


def at(place: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields `file` and `line` of a reason; none if the place is unknown."""
    if place is None:
        return {}
    return {"file": place["file"], "line": place["line"]}


def is_error(ending: Mapping[str, Any], error: str) -> bool:
    """Whether a call raised `error`, or an exception derived from it."""
    return ending["how"] == "raised" and error in ending["error"].split()


def raised(ending: Mapping[str, Any]) -> str:
    """Return the exception a call raised: its class and message."""
    name = ending["error"].split()[0]
    return f"{name}: {ending['message']}" if ending["message"] else name


def ended(ending: Mapping[str, Any]) -> str:
    """Return how a call ended, as the rest of a sentence whose subject it is."""
    match ending["how"]:
        case "returned":
            return f"returned {ending['value']!r}"
        case "raised":
            return f"raised {raised(ending)}"
        case "cancelled":
            return "was cancelled"
        case _:
            return f"was not over after {span(ending['seconds'])}"


def span(seconds: float) -> str:
    """Return seconds in words: `1.2 s`, `340 ms`."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def count(number: int, one: str) -> str:
    """Return `1 request`, `2 requests`."""
    return f"{number} {one}{'s' * (number != 1)}"
