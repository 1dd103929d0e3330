"""What a lab leaves at work when all is over."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.wording import at, ended, overdue
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["at_work", "leftovers", "unclosed"]


def leftovers(facts: Mapping[str, Any]) -> Iterator[Reason]:
    """Judge tasks that still run at the very end; at most one reason."""
    tasks = facts.get("leftovers", {}).get("tasks", ())
    if tasks:
        first = tasks[0]
        code = f": `{first['code']}`" if first.get("code") else ""
        yield at_work(
            f"{count(len(tasks), 'task')} still ran when all was over "
            f"({first['coroutine']}{code}).",
            len(tasks),
            first if first.get("file") else None,
        )


def at_work(
    sentence: str,
    tasks: int,
    place: Mapping[str, Any] | None,
    next_step: str = "Await every task that you start, or cancel it and await that.",
) -> Reason:
    """Return the reason for so many tasks that were left at work."""
    return Reason(
        sentence,
        conflict="dropped-task",
        measured=count(tasks, "task"),
        budget="0 tasks",
        **at(place),
        next_step=next_step,
    )


def unclosed(found: Mapping[str, Any], block: str, closer: str) -> Iterator[Reason]:
    """Judge the end of a step's `async with`; at most one reason.

    `found` has how it ended, if it did not end well, as `closing`, and as `left` how many connections
    it left; `block` is what the learner's code opens, `closer` what closes it.
    """
    trouble, left = found["closing"], found["left"]
    common: dict[str, Any] = {
        "conflict": "unclosed-resource",
        "next_step": f"Close the pool in {closer}, and await that.",
    }
    if trouble is not None:
        yield Reason(
            f"At the end of `async with {block}`, it {ended(trouble)}.",
            **at(trouble["place"]),
            timed=overdue(trouble),
            **common,
        )
    elif left:
        yield Reason(
            f"At the end of `async with {block}`, {count(left, 'connection')} stayed open.",
            measured=count(left, "connection"),
            budget="0 connections",
            **common,
        )
