"""What a lab leaves at work when all is over."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.wording import count
from loopclinic.verdict import Reason

__all__ = ["leftovers"]


def leftovers(facts: Mapping[str, Any]) -> Iterator[Reason]:
    """Judge tasks that still run at the very end; at most one reason."""
    tasks = facts.get("leftovers", {}).get("tasks", ())
    if tasks:
        first = tasks[0]
        code = f": `{first['code']}`" if first.get("code") else ""
        yield Reason(
            f"{count(len(tasks), 'task')} still ran when all was over "
            f"({first['coroutine']}{code}).",
            conflict="dropped-task",
            measured=count(len(tasks), "task"),
            budget="0 tasks",
            **({"file": first["file"], "line": first["line"]} if first.get("file") else {}),
            next_step="Await every task that you start, or cancel it and await that.",
        )
