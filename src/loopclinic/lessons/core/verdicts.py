"""Verdicts that lessons share: each judges one kind of promise from a typed finding.

Each yields reasons, at most one unless it says so, or `Kept` where the finding shows the promise kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from loopclinic.lessons.core.scene import Budget, Kept
from loopclinic.lessons.core.shared_findings import Ending, Left, Loop, Place, Stall
from loopclinic.units import count, span
from loopclinic.verdict import Reason

AT_WORK = 2
"""Tasks that may just be ending when a call returns."""
_COMPUTING = 0.2
"""Share of the loop's busy time on a processor: a blocked wait needs none, a spin takes all it gets."""
_NESTED = (
    "cannot be called from a running event loop",
    "while another loop is running",
    "event loop is already running",
)
STILL_RUNNING = "still running after "
"""How a measurement begins of what did not end while it was watched."""
AWAIT_ALL = "Await every task that you start, or cancel it and await that."


def at(place: Place | None) -> dict[str, Any]:
    """Return the fields `file` and `line` of a reason; none if the place is unknown."""
    return {} if place is None else {"file": place.file, "line": place.line}


def broke(
    promise: int | None, said: str, step: str, place: Place | None = None, **more: Any
) -> Reason:
    """Return a reason why this promise is broken; `step` is what to do."""
    return Reason(said, promise=promise, next_step=step, **at(place), **more)


def counted(number: int, due: int, what: str, whats: str | None = None) -> dict[str, Any]:
    """Return the fields `measured` and `budget` of a reason for things that are counted."""
    return {"measured": count(number, what, whats), "budget": count(due, what, whats)}


def none_of(number: int, what: str, whats: str | None = None) -> dict[str, Any]:
    """Return the fields `measured` and `budget` of a reason for things of which there may be none."""
    return counted(number, 0, what, whats)


def nested_loop(
    endings: Iterable[Ending], loop: Loop | None = None, *, promise: int | None = None
) -> Iterator[Reason]:
    """Judge whether a loop was run inside the running one: which raised, or was made possible."""
    for ending in endings:
        if any(text in ending.message for text in _NESTED):
            said = (
                f"The call runs an event loop inside the running one, which raises {ending.message}"
            )
            step = "Await the coroutine: the loop that runs your function runs it, too."
            yield broke(promise, said, step, ending.place, conflict="nested-loop")
            return
    if loop is not None and loop.nested:
        said = "An event loop is run inside the running one: callers can only return in the "
        said += "reverse order in which they came."
        step = "Await the coroutine, and do without run_until_complete in async code."
        yield broke(promise, said, step, loop.place, conflict="nested-loop")


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
    code = place.quoted if place else "something"
    figures = {"measured": f"{loop.busy:.0%} busy", "budget": f"{budget.limit:.0%} of the time"}
    opening = f"While {while_}, the loop was busy {loop.busy:.0%} of the time: {code}"
    # Where others have the processor, a spin gets little of it: the probe counts what it wants.
    if (stall is not None and stall.conflict == "cpu-bound") or loop.computing > _COMPUTING:
        how = f"kept it for up to {span(stall.seconds)}" if stall else "ran again and again"
        said = f"{opening} {how} and computed meanwhile."
        step = "Let a timer wake you: asyncio.sleep(seconds), once, for the whole wait."
        yield broke(promise, said, step, place, conflict="cpu-bound", timed=True, **figures)
        return
    longest = f" for up to {span(stall.seconds)}" if stall else ""
    conflict = conflict or (stall.conflict if stall else None) or otherwise
    said = f"{opening} stopped it{longest}.{also}"
    yield broke(promise, said, next_step, place, conflict=conflict, timed=not place, **figures)


def slept(stall: Stall | None, whom: str, step: str, *, promise: int) -> Iterator[Reason]:
    """Judge a sleep that stopped the loop, and `whom` with it."""
    if stall is not None:
        held = span(stall.seconds)
        said = f"{stall.place.quoted} stops the loop for {held}, and {whom} with it."
        more = {"measured": held, "budget": "0 ms", "conflict": "blocking-sleep"}
        yield broke(promise, said, step, stall.place, **more)


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
        yield swallowed(ending, budget, who, ending.place, promise=promise, next_step=next_step)
    elif sent or still_open > 0:
        open_ = "its request" if still_open == 1 else "requests"
        what = f"sent {count(sent, 'more request')}" if sent else f"kept {open_} open"
        said, place = (
            f"{who}; it ended, but its work continued and {what}.",
            left.place or ending.place,
        )
        more = none_of(sent or still_open, "request")
        more["measured"] += " after the end"
        yield broke(promise, said, owned, place, conflict="dropped-task", **more)
    elif left.tasks:
        said = f"{who}; it ended, but left {count(left.tasks, 'task')} at work."
        place = left.place or ending.place
        yield left_at_work(said, left.tasks, place, promise=promise, next_step=owned)
    else:
        yield Kept(promise)


def swallowed(
    ending: Ending, budget: Budget, who: str, place: Place | None, *, promise: int, next_step: str
) -> Reason:
    """Return the reason for a call that did not end at once by CancelledError."""
    running = ending.how == "running"
    ended, seconds = ending.how == "cancelled", span(ending.seconds)
    how = "kept running" if running else f"took {seconds}" if ended else str(ending)
    said = f"{who}, and {how} instead of ending at once with CancelledError."
    more = {"measured": f"{STILL_RUNNING * running}{seconds}", "budget": span(budget.limit)}
    more["conflict"] = "swallowed-cancellation"
    return broke(promise, said, next_step, place, timed=ending.overdue or ended, **more)


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
        # Raised while a TimeoutError was handled: the deadline is there, and only its error is not let out.
        hidden = not late and "TimeoutError" in ending.during
        step = (
            "Put one deadline around all attempts and waits: async with asyncio.timeout(deadline)."
        )
        if hidden:
            step = "Let TimeoutError out: callers must be able to tell that the deadline passed."
        how, figures = f"{ending} instead of raising TimeoutError", dict[str, Any]()
        if late:
            how = f"was not done after {span(ending.seconds)}"
            times = f"{ending.seconds / deadline:.1f} x the deadline"
            more = STILL_RUNNING * ending.overdue
            # When both pass at once, aiohttp makes a TimeoutError of its own of the deadline's cancellation.
            step += " A timeout for each request beside it can swallow that deadline: take it off."
            figures = {"measured": f"{more}{times}", "budget": str(budget), "timed": True}
        said = f"A call with a deadline of {span(deadline)} {how}, while {while_}."
        yield broke(promise, said, step, place, conflict="missing-deadline", **figures)


def left_at_work(
    sentence: str,
    tasks: int,
    place: Place | None,
    *,
    promise: int | None,
    next_step: str = AWAIT_ALL,
) -> Reason:
    """Return the reason for tasks that a call left at work."""
    figures = none_of(tasks, "task")
    return broke(promise, sentence, next_step, place, conflict="dropped-task", **figures)


def reported(
    told: Sequence[tuple[str, Place | None]], *, promise: int | None = None, least: str = ""
) -> Iterator[Reason]:
    """Judge what asyncio's exception handler was told of one kind: messages, each with a line.

    At most one reason; `least` is "at least " where there may have been more.
    """
    for message, place in told[:1]:
        what, conflict = "unseen error", "dropped-task"
        step = "Await every task that you start, and handle what it raises."
        if message.startswith("Unclosed"):
            what, conflict = "unclosed object", "unclosed-resource"
            step = "Close what you opened, on its loop, and wait for that: by `async with`, or at the end."
        at_line = f", at {place.quoted}" if place else ""
        said = f"asyncio reported {least}{count(len(told), what)}{at_line}: {message}."
        figures = none_of(len(told), what)
        figures["measured"] = f"{least}{figures['measured']}"
        yield broke(promise, said, step, place, conflict=conflict, **figures)
