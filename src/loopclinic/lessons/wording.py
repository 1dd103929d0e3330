"""Numbers, places and how calls ended, as a reason says them."""

from collections.abc import Mapping
from typing import Any

__all__ = ["at", "code_of", "ended", "is_error", "overdue", "span"]


def at(place: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields `file` and `line` of a reason; none if the place is unknown."""
    if place is None or place["file"] is None:
        return {}
    return {"file": place["file"], "line": place["line"]}


def code_of(place: Mapping[str, Any] | None) -> str:
    """Return the line of code at a place, quoted, or words for one that is unknown."""
    return f"`{place['code']}`" if place and place["code"] else "something"


def span(seconds: float) -> str:
    """Return seconds in words: `1.2 s`, `340 ms`."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def ended(ending: Mapping[str, Any]) -> str:
    """Return how a call ended, as the rest of a sentence whose subject it is."""
    match ending["how"]:
        case "returned":
            return f"returned {ending['value']}"
        case "raised":
            return f"raised {ending['message']}"
        case "cancelled":
            return "raised CancelledError"
        case _:
            return f"was not over after {span(ending['seconds'])}"


def overdue(ending: Mapping[str, Any]) -> bool:
    """Whether a call was given up before it was over: a busy machine may be why."""
    return ending["how"] in ("running", "unfinished")


def is_error(ending: Mapping[str, Any], error: str) -> bool:
    """Whether a call raised `error`, or an exception derived from it."""
    return ending["how"] == "raised" and error in ending["error"]
