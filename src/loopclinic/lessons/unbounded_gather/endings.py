"""How a call of `publish` ends: cancelled, with a source that fails, and what it leaves at work."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.leftovers import at_work
from loopclinic.lessons.unbounded_gather import LESSON
from loopclinic.lessons.unbounded_gather.wording import ended, said
from loopclinic.lessons.wording import at, span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["AT_WORK", "cancellation", "leftovers", "lost_source"]

Facts = Mapping[str, Any]

AT_WORK = 2
"""Tasks that may just be ending when publish returns."""
_BUDGETS = LESSON.budgets
_OWNED = "Let a TaskGroup own the workers, or cancel and await them in a finally."


def cancellation(facts: Facts) -> Iterator[Reason]:
    """Judge a call that was cancelled in the middle of its posts; at most one reason."""
    crowd, budget = facts["crowd"], _BUDGETS["cancel"]
    ending = crowd["ending"]
    if crowd["early"]:
        if crowd["stopped"] or ending["how"] != "returned":
            return
        yield Reason(
            f"With {crowd['due']:,} posts due, publish returned after {span(ending['seconds'])} and "
            f"{count(crowd['requests'], 'request')}.",
            **at(ending.get("place")),
            next_step="Publish until `posts` has no more.",
        )
        return
    common: dict[str, Any] = at(ending.get("place"))
    # To cancel thousands of tasks takes its time, and is told under their number.
    late = ending["seconds"] > budget.limit and not crowd["stopped"]
    if ending["how"] != "cancelled" or late:
        how = "went on" if ending["how"] == "running" else f"ended by {said(ending)}"
        if ending["how"] == "cancelled":
            how = f"took {span(ending['seconds'])}"
        yield Reason(
            f"publish was cancelled in the middle of its posts and {how}, instead of ending at once by "
            "CancelledError.",
            conflict="swallowed-cancellation",
            measured=span(ending["seconds"]),
            budget=str(budget),
            **common,
            timed=True,
            next_step="Catch aiohttp.ClientError, not BaseException, and let CancelledError through.",
        )
    elif crowd["requests_after"] or crowd["left"]["tasks"]:
        yield at_work(
            f"publish was cancelled and ended, but {count(crowd['left']['tasks'], 'task')} went on and "
            f"sent {count(crowd['requests_after'], 'more request', 'more requests')} in 200 ms.",
            crowd["left"]["tasks"],
            crowd["left"]["place"] or ending.get("place"),
            _OWNED,
        )


def lost_source(facts: Facts) -> Iterator[Reason]:
    """Judge a call whose `posts` raised in the middle; at most one reason."""
    found = facts["lost_source"]
    ending = found["ending"]
    place = at(ending.get("place"))
    if ending["how"] in {"unfinished", "running"}:
        yield Reason(
            f"`posts` raised in the middle, and publish was still waiting {span(ending['seconds'])} "
            "later.",
            measured=span(ending["seconds"]),
            budget="it ends",
            **place,
            timed=True,
            next_step="When reading `posts` fails, the workers must hear of it: a TaskGroup tells them.",
        )
    elif not found["raised"]:
        yield Reason(
            f"`posts` raised in the middle, and publish {ended(ending)} as if all were done.",
            **place,
            next_step="Let an error of `posts` through: the caller must know that posts are missing.",
        )
    elif found["left"]["tasks"] or found["requests_after"]:
        left = found["left"]
        yield at_work(
            f"`posts` raised in the middle; publish raised that error and left "
            f"{count(left['tasks'], 'task')} at work.",
            left["tasks"],
            left["place"] or ending.get("place"),
            _OWNED,
        )


def leftovers(facts: Facts) -> Iterator[Reason]:
    """Judge tasks that were at work when publish had returned; at most one reason."""
    for name, doing in (
        ("steady", "were sending posts"),
        ("broken", "were at broken connections"),
        ("refusing", "were waiting to send refused posts again"),
    ):
        found = facts[name]
        ending, left = found["ending"], found["left"]
        if ending["how"] != "returned":
            continue
        if ending["unfinished"] > AT_WORK or left["tasks"]:
            many = max(ending["unfinished"], left["tasks"])
            yield at_work(
                f"publish returned while {count(many, 'task')} {doing}: its Summary can't know what "
                "becomes of these.",
                many,
                left["place"] or ending.get("place"),
            )
            return
