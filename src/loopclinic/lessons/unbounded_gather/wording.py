"""Endings and posts, as a reason says them."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ended", "examples", "said"]

Facts = Mapping[str, Any]

_EXAMPLES = 3
_FEW = 5


def said(ending: Facts) -> str:
    """Return what a call ended by."""
    match ending["how"]:
        case "raised":
            return str(ending["message"])
        case "cancelled":
            return "CancelledError"
        case "returned":
            return f"returning {ending['value']}"
        case _:
            return "nothing"


def ended(ending: Facts) -> str:
    """Return how a call ended, as the rest of a sentence whose subject it is."""
    return f"raised {ending['message']}" if ending["how"] == "raised" else "ended"


def examples(numbers: Sequence[int]) -> str:
    """Return the numbers of a few posts, in brackets."""
    if len(numbers) > _FEW:
        shown = ", ".join(str(number) for number in numbers[:_EXAMPLES])
        return f" (among them {shown})"
    return f" ({', '.join(str(number) for number in numbers)})"
