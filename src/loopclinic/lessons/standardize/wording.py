"""How a call of a lab's ended, in words."""

from collections.abc import Mapping
from typing import Any

from loopclinic.lessons.wording import span

__all__ = ["ended"]


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
