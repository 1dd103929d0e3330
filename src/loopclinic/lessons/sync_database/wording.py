"""Code and PostgreSQL's sessions, as a reason says them."""

from collections.abc import Mapping, Sequence
from typing import Any

from loopclinic.lessons.wording import count

__all__ = ["code_of", "meanwhile"]


def code_of(place: Mapping[str, Any] | None) -> str:
    """Return the line of code at a place, quoted, or words for one that is unknown."""
    return f"`{place['code']}`" if place and place["code"] else "something"


def meanwhile(sessions: Sequence[Mapping[str, Any]]) -> str:
    """Return what PostgreSQL saw of a lab's sessions, as a sentence; empty if there were none."""
    waiting = sum(one["state"] == "active" and one["wait_type"] == "Lock" for one in sessions)
    idle = sum(one["state"].startswith("idle in transaction") for one in sessions)
    working = sum(one["state"] == "active" for one in sessions) - waiting
    rest = len(sessions) - waiting - idle - working
    parts = [
        f"{number} {what}"
        for number, what in (
            (idle, "idle in transaction"),
            (waiting, "waiting for a lock"),
            (working, "at work"),
            (rest, "idle"),
        )
        if number
    ]
    if not parts:
        return ""
    return f" PostgreSQL saw {count(len(sessions), 'session')}: {', '.join(parts)}."
