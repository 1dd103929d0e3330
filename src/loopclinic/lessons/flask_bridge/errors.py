"""What went wrong with webhooks that a database at leisure did not get: the root of it, as a reason."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from loopclinic.lessons.wording import at
from loopclinic.verdict import Reason

__all__ = ["failed", "root"]

Facts = Mapping[str, Any]

_FOREIGN = re.compile(r"attached to a different loop|different event loop|Event loop is closed")
"""How asyncio says that something belongs to another loop."""
_SHARED = "another operation is in progress"


def failed(sentence: str, error: Facts | None, waits_at: Facts | None) -> Reason:
    """Return the reason for webhooks that were not stored: `sentence`, and what was raised."""
    if error is None:
        return Reason(
            sentence,
            conflict="blocking-sync-primitive" if _result(waits_at) else None,
            **at(waits_at),
            timed=True,
            next_step="See where they wait: a loop must not wait for its own work.",
        )
    message = error["message"]
    foreign = _FOREIGN.search(message)
    nested = "running event loop" in message
    if foreign:
        step = "Make the pool on the loop that uses it, and use it from no other."
    elif nested:
        step = "Hand the work to a loop on another thread: a running loop can't run a second one."
    elif _SHARED in message:
        step = "A connection serves one webhook at a time: take one from a pool for each."
    else:
        step = "See what it raises: with the database at leisure, every webhook can be stored."
    return Reason(
        f"{sentence} {message}",
        conflict="loop-bound-primitive" if foreign else "nested-loop" if nested else None,
        **at(error["place"]),
        next_step=step,
    )


def _result(place: Facts | None) -> bool:
    return bool(place and ".result(" in place["code"])


def root(errors: Sequence[Facts]) -> Facts | None:
    """Return the error that explains the others, or None if there was none."""
    foreign = next((one for one in errors if _FOREIGN.search(one["message"])), None)
    return foreign or (errors[0] if errors else None)
