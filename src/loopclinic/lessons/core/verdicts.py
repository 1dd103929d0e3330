"""Verdicts that lessons share: each judges one kind of promise from a typed finding.

Each yields reasons, at most one unless it says so, or `Kept` where the finding shows the promise kept.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from loopclinic.lessons.core.findings import Ending, Left, Loop, Place
from loopclinic.lessons.core.scene import Kept
from loopclinic.lessons.lesson import Budget
from loopclinic.lessons.wording import span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = [
    "AT_WORK",
    "at",
    "blocked",
    "cancelled_cleanly",
    "deadline_kept",
    "left_at_work",
    "nested_loop",
]

AT_WORK = 2
"""Tasks that may just be ending when a call returns."""
_COMPUTING = 0.2
"""Share of the loop's busy time on a processor: a blocked wait needs none, a spin takes all it gets."""
_NESTED = (
    "cannot be called from a running event loop",
    "while another loop is running",
    "event loop is already running",
)
_AWAIT_ALL = "Await every task that you start, or cancel it and await that."


def at(place: Place | None) -> dict[str, Any]:
    """Return the fields `file` and `line` of a reason; none if the place is unknown."""
    return {} if place is None else {"file": place.file, "line": place.line}


def nested_loop(
    endings: Iterable[Ending], loop: Loop | None = None, *, promise: int | None = None
) -> Iterator[Reason]:
    """Judge whether a loop was run inside the running one: which raised, or was made possible."""
    for ending in endings:
        if any(text in ending.message for text in _NESTED):
            yield Reason(
                f"The call runs an event loop inside the running one, which raises {ending.message}",
                conflict="nested-loop",
                **at(ending.place),
                promise=promise,
                next_step="Await the coroutine: the loop that runs your function runs it, too.",
            )
            return
    if loop is not None and loop.nested:
        yield Reason(
            "An event loop is run inside the running one: callers can only return in the reverse "
            "order in which they came.",
            conflict="nested-loop",
            **at(loop.place),
            promise=promise,
            next_step="Await the coroutine, and do without run_until_complete in async code.",
        )


def blocked(
    loop: Loop,
    budget: Budget,
    while_: str,
    *,
    promise: int,
    next_step: str,
    conflict: str | None = None,
    otherwise: str = "blocking-net",
    reported: Place | None = None,
    also: str = "",
) -> Iterator[Reason | Kept]:
    """Judge a time in which the loop could have been idle: a wait that blocks, or a computation.

    `conflict` is reported for any wait that blocks, else the one that the stall looks like, else
    `otherwise`. Nothing is said of a stall at the line `reported`; `also` is added to the sentence.
    """
    stall, place = loop.stall, loop.place
    if loop.busy <= budget.limit:
        yield Kept(promise)
        return
    if stall is not None and stall.place == reported:
        return
    code = f"`{place.code}`" if place and place.code else "Something"
    common: dict[str, Any] = {
        "measured": f"{loop.busy:.0%} busy",
        "budget": f"{budget.limit:.0%} of the time",
        "promise": promise,
        **at(place),
    }
    opening = f"While {while_}, the loop was busy {loop.busy:.0%} of the time: {code}"
    # Where others have the processor, a spin gets little of it: the probe counts what it wants.
    if (stall is not None and stall.conflict == "cpu-bound") or loop.computing > _COMPUTING:
        how = f"kept it for up to {span(stall.seconds)}" if stall else "asked again and again"
        yield Reason(
            f"{opening} {how} and computed meanwhile.",
            conflict="cpu-bound",
            timed=True,
            next_step="Let a timer wake you: asyncio.sleep(seconds), once, for the whole wait.",
            **common,
        )
        return
    longest = f" for up to {span(stall.seconds)}" if stall else ""
    yield Reason(
        f"{opening} stopped it{longest}.{also}",
        conflict=conflict or (stall.conflict if stall else None) or otherwise,
        timed=not place,
        next_step=next_step,
        **common,
    )


def cancelled_cleanly(
    ending: Ending,
    budget: Budget,
    who: str,
    *,
    promise: int,
    next_step: str,
    owned: str,
    sent: int = 0,
    still_open: int = 0,
    left: Left = Left(),  # noqa: B008 - frozen
    late: bool = True,
) -> Iterator[Reason | Kept]:
    """Judge a call that was cancelled: whether it ended at once, by CancelledError, and its work with it.

    `who` says which call, and when: "A call was cancelled while it waited". `sent` counts requests that
    came after its end, `still_open` those that it left open. It may take its time where `late` is false.
    `next_step` is for a call that went on, `owned` for work that did.
    """
    if ending.how != "cancelled" or (late and ending.seconds > budget.limit):
        running = ending.how == "running"
        how = f"took {span(ending.seconds)}" if ending.how == "cancelled" else str(ending)
        yield Reason(
            f"{who}, and {'went on' if running else how} instead of ending at once by CancelledError.",
            conflict="swallowed-cancellation",
            measured=f"{'more than ' * running}{span(ending.seconds)}",
            budget=span(budget.limit),
            **at(ending.place),
            promise=promise,
            timed=True,
            next_step=next_step,
        )
    elif sent or still_open > 0:
        what = f"sent {count(sent, 'more request')}" if sent else "kept its request open"
        yield Reason(
            f"{who}; it ended, but its work went on and {what}.",
            conflict="dropped-task",
            measured=f"{count(sent or still_open, 'request')} after the end",
            budget="0 requests",
            **at(left.place or ending.place),
            promise=promise,
            next_step=owned,
        )
    elif left.tasks:
        yield left_at_work(
            f"{who}; it ended, but left {count(left.tasks, 'task')} at work.",
            left.tasks,
            left.place or ending.place,
            promise=promise,
            next_step=owned,
        )
    else:
        yield Kept(promise)


def deadline_kept(
    ending: Ending,
    deadline: float,
    budget: Budget,
    while_: str,
    *,
    promise: int,
    place: Place | None,
    otherwise: str | None = None,
) -> Iterator[Reason | Kept]:
    """Judge a call whose deadline passes: whether it was over in time, by TimeoutError.

    It may raise the error `otherwise` in time, which then says nothing of the promise.
    """
    late = ending.overdue or ending.seconds > budget.limit * deadline
    if not late and ending.is_error("TimeoutError"):
        yield Kept(promise)
    elif late or otherwise is None or not ending.is_error(otherwise):
        how = (
            f"was not over after {span(ending.seconds)}"
            if late
            else f"{ending} instead of raising TimeoutError"
        )
        # Raised while a TimeoutError was handled: the deadline is there, and only its error is not let out.
        hidden = not late and "TimeoutError" in ending.during
        yield Reason(
            f"A call with a deadline of {span(deadline)} {how}, while {while_}.",
            conflict="missing-deadline",
            measured=f"{'more than ' * ending.overdue}{ending.seconds / deadline:.1f} x the deadline"
            if late
            else None,
            budget=str(budget) if late else None,
            **at(place),
            promise=promise,
            timed=late,
            next_step="Let TimeoutError out: callers must be able to tell that the deadline passed."
            if hidden
            else "Put one deadline around all attempts and waits: async with asyncio.timeout(deadline).",
        )


def left_at_work(
    sentence: str,
    tasks: int,
    place: Place | None,
    *,
    promise: int | None,
    next_step: str = _AWAIT_ALL,
) -> Reason:
    """Return the reason for tasks that a call left at work."""
    return Reason(
        sentence,
        conflict="dropped-task",
        measured=count(tasks, "task"),
        budget="0 tasks",
        **at(place),
        promise=promise,
        next_step=next_step,
    )
