"""PostgreSQL's sessions, as a reason says them."""

from collections.abc import Mapping, Sequence
from typing import Any

from loopclinic.units import count

__all__ = ["meanwhile"]


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
