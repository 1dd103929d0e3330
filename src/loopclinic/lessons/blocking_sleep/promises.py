"""Reasons why a lab breaks what its docstring promises: results, attempts, deadline, cancellation."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.blocking_sleep import LESSON
from loopclinic.lessons.wording import at, ended, is_error, overdue, span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["cancellation", "deadlines", "refusals", "results"]

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets


# What a call returns or raises.


def results(facts: Facts, *, blocked: bool) -> Iterator[Reason]:
    """Judge calls that can succeed; where the loop was `blocked`, lateness is not theirs."""
    for name, doing, wanted in (
        ("plain", "A call that the service answered at once", 1),
        ("retried", "A call that fails twice and then succeeds", 3),
    ):
        found = facts[name]
        for ending, right, requests in zip(
            found["endings"], found["right"], found["requests"], strict=True
        ):
            if ending["how"] == "raised":
                yield Reason(
                    f"{doing} {ended(ending)}.",
                    **at(ending["place"] or found["place"]),
                    next_step="Return the service's text, and raise only what the docstring names.",
                )
                return
            late = overdue(ending) or (
                name == "plain" and ending["seconds"] > found["alone"] + _BUDGETS["prompt"].limit
            )
            if late and not blocked:
                sentence = f"{doing} was not done after {span(ending['seconds'])}"
                step = "Wait between attempts only: not before the first, not after the last."
            elif ending["how"] == "returned" and not right:
                sentence = f"{doing} gave {ending['value']}, which is not the service's text"
                step = 'Return the answer\'s "text".'
            elif ending["how"] == "returned" and requests != wanted:
                sentence = f"{doing} sent {count(requests, 'request')} instead of {wanted}"
                step = "Send the clip once an attempt."
            else:
                continue
            yield Reason(
                f"{sentence}.",
                **at(ending["place"] or found["place"]),
                next_step=step,
                timed=late,
            )
            break


def refusals(facts: Facts) -> Iterator[Reason]:
    """Judge calls that can't succeed: how often they were sent, and what they raised."""
    permanent = facts["permanent"]
    status, ending = permanent["status"], permanent["ending"]
    if permanent["requests"] > 1:
        yield Reason(
            f"The service refused a clip with {status}, and it was sent "
            f"{permanent['requests']} times all the same.",
            conflict="retry-storm",
            measured=count(permanent["requests"], "request"),
            budget="1 request",
            **at(permanent["place"]),
            next_step="Try again after 429, 503 and broken connections only.",
        )
    elif not is_error(ending, "TranscriptionError"):
        yield Reason(
            f"After a {status} the call {ended(ending)} instead of raising TranscriptionError.",
            **at(ending["place"]),
            timed=overdue(ending),
            next_step="Raise TranscriptionError at once for every other status.",
        )
    for name, doing in (
        ("busy_service", "After three answers 429 of three allowed"),
        ("broken", "After three broken connections of three allowed"),
        ("last", "After one answer 503 of one allowed"),
    ):
        found = facts[name]
        ending, requests, allowed = found["ending"], found["requests"], 1 if name == "last" else 3
        if requests > allowed:
            yield Reason(
                f"With attempts={allowed}, the same clip was sent {requests} times.",
                conflict="retry-storm",
                measured=count(requests, "request"),
                budget=count(allowed, "request"),
                **at(found["place"]),
                next_step="Stop after `attempts` requests and raise TranscriptionError.",
            )
            return
        if requests < allowed:
            yield Reason(
                f"With attempts={allowed}, only {count(requests, 'request')} came "
                f"({'429' if name == 'busy_service' else 'broken connection'} each time), "
                f"then the call {ended(ending)}.",
                **at(ending["place"]),
                timed=overdue(ending),
                next_step="Try again after 429, 503 and aiohttp.ClientConnectionError.",
            )
            return
        late = name == "last" and ending["seconds"] > _BUDGETS["prompt"].limit
        if late:
            yield Reason(
                "The call waits once more after its last attempt has failed.",
                measured=span(ending["seconds"]),
                budget=span(_BUDGETS["prompt"].limit),
                **at(ending["place"] or found["place"]),
                timed=True,
                next_step="Raise TranscriptionError as soon as the last attempt has failed.",
            )
        elif not is_error(ending, "TranscriptionError"):
            yield Reason(
                f"{doing}, the call {ended(ending)} instead of raising TranscriptionError.",
                **at(ending["place"]),
                timed=overdue(ending),
                next_step="Raise TranscriptionError when the attempts are used up.",
            )
            return


# Time and cancellation.


def deadlines(facts: Facts) -> Iterator[Reason]:
    """Judge calls whose deadline passes; at most one reason."""
    for name, doing in (
        ("hanging", "while the service never answered"),
        ("endless", "while the service kept failing"),
    ):
        found = facts.get(name)
        if found is None:
            continue
        ending, deadline = found["ending"], found["deadline"]
        late = overdue(ending)
        late = late or ending["seconds"] > _BUDGETS["deadline"].limit * deadline
        if not late and is_error(ending, "TimeoutError"):
            continue
        if not late and name == "endless" and is_error(ending, "TranscriptionError"):
            continue  # the attempts were used up too soon for a deadline: `_waits` says so
        if late:
            sentence = (
                f"A call with a deadline of {span(deadline)} was not over after "
                f"{span(ending['seconds'])}, {doing}."
            )
        else:
            sentence = (
                f"A call with a deadline of {span(deadline)} {ended(ending)} instead of raising "
                f"TimeoutError, {doing}."
            )
        yield Reason(
            sentence,
            conflict="missing-deadline",
            measured=f"{ending['seconds'] / deadline:.1f} x the deadline",
            budget=str(_BUDGETS["deadline"]),
            **at(found["place"]),
            timed=late,
            next_step="Put one deadline around all attempts and waits: async with asyncio.timeout(deadline).",
        )
        return


def cancellation(facts: Facts) -> Iterator[Reason]:
    """Judge calls that were cancelled; at most one reason."""
    for name, doing in (
        ("cancelled_wait", "waited to try again"),
        ("cancelled_request", "waited for an answer"),
    ):
        found = facts.get(name)
        if found is None:
            continue
        ending = found["ending"]
        if ending["how"] != "cancelled" or ending["seconds"] > _BUDGETS["cancel"].limit:
            stubborn = ending["how"] == "running"
            how = "went on" if stubborn else ended(ending)
            yield Reason(
                f"A call was cancelled while it {doing}, and {how} instead of ending by CancelledError.",
                conflict="swallowed-cancellation",
                measured=f"{'more than ' * stubborn}{span(ending['seconds'])}",
                budget=span(_BUDGETS["cancel"].limit),
                **at(found["place"]),
                timed=True,
                next_step="Let CancelledError through: catch only what you can retry, and raise the rest.",
            )
            return
        late = found["requests_after"]
        unheard = found["calls"] - found["left"] if name == "cancelled_request" else 0
        if late or unheard > 0:
            what = f"sent {count(late, 'request')} more" if late else "kept its request open"
            yield Reason(
                f"A call was cancelled while it {doing}; it ended, but its work went on and {what}.",
                conflict="dropped-task",
                measured=f"{count(late or unheard, 'request')} after the end",
                budget="0 requests",
                **at(found["place"]),
                next_step="Await the work itself, so that cancelling the call cancels it, too.",
            )
            return
