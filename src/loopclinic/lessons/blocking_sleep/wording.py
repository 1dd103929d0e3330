"""Endings, as a reason says them."""

from collections.abc import Mapping
from typing import Any

from loopclinic.lessons.wording import span

__all__ = ["ended", "is_error", "raised"]


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
