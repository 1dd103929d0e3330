"""Reads what the rehearsal found: the reasons why a lab does not keep its contract yet."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons.blocking_sleep import LESSON
from loopclinic.lessons.lesson import Trial
from loopclinic.verdict import Reason

__all__ = ["judge", "praise"]

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets
_COMPUTING = 0.15
"""Share of the loop's busy time spent on the CPU: a blocked wait needs none of it, a spin all it gets."""
_NESTED = (
    "cannot be called from a running event loop",
    "while another loop is running",
    "event loop is already running",
)


def judge(trial: Trial) -> list[Reason]:
    """Return the reasons, the root first; none means that the lab keeps its contract."""
    facts = trial.facts
    nested = list(_nested(facts))
    if nested:
        return nested
    blocking = list(_blocking(facts))
    reasons = [
        *blocking,
        *_results(facts, blocked=bool(blocking)),
        *_refusals(facts),
        *_cancellation(facts),
        *_deadlines(facts),
        *_crowd(facts, blocked=bool(blocking)),
    ]
    if any(reason.conflict == "swallowed-cancellation" for reason in reasons):
        # A deadline ends a call by cancelling what it waits for: it can't work before that does.
        reasons = [reason for reason in reasons if reason.conflict != "missing-deadline"]
    order = {reason: number for number, reason in enumerate(reasons)}
    return sorted(order, key=lambda reason: (_rank(reason), order[reason]))


def praise(trial: Trial) -> str:
    """Return the sentence for a pass."""
    crowd, shipped = trial.facts["crowd"], trial.facts["shipped"]
    return (
        f"{crowd['flaky']} callers waited to try again, and the loop was "
        f"{_time(crowd['lag_p99'])} late (p99; as shipped {_time(shipped['lag_p99'])}). "
        f"Callers who never had to retry took {_time(crowd['healthy_p90'])} "
        f"(p90; as shipped {_time(shipped['healthy_p90'])})."
    )


def _rank(reason: Reason) -> int:
    # A wrong result comes before every conflict but those that keep the loop itself.
    if reason.conflict is None:
        return CONFLICTS["missing-deadline"].rank
    return CONFLICTS[reason.conflict].rank


# The loop itself.


def _nested(facts: Facts) -> Iterator[Reason]:
    for name in ("plain", "retried"):
        for ending in facts[name]["endings"]:
            if any(text in ending["message"] for text in _NESTED):
                yield Reason(
                    f"The call runs an event loop inside the running one, which raises "
                    f"{ending['error'].split()[0]}: {ending['message']}",
                    conflict="nested-loop",
                    **_at(ending["place"]),
                    next_step="Await the coroutine: the loop that runs your function runs it, too.",
                )
                return
    for name in ("plain", "retried", "crowd"):
        if facts.get(name, {}).get("nested"):
            yield Reason(
                "An event loop is run inside the running one: callers can only return in the reverse "
                "order in which they came.",
                conflict="nested-loop",
                **_at(facts[name]["stall"] or facts[name]["place"]),
                next_step="Await the coroutine, and do without run_until_complete in async code.",
            )
            return


def _blocking(facts: Facts) -> Iterator[Reason]:
    budget = _BUDGETS["busy"]
    for name, doing in (("plain", "waited for their answer"), ("retried", "waited to try again")):
        found = facts[name]
        if found["busy"] <= budget.limit:
            continue
        stall = found["stall"]
        place = stall or found["place"]
        code = f" `{place['code']}`" if place and place["code"] else " Something"
        calls = len(found["endings"])
        measured = f"{found['busy']:.0%} busy"
        shown = f"{budget.limit:.0%} of the time"
        opening = f"While {calls} calls {doing}, the loop was busy {found['busy']:.0%} of the time:"
        if found["cpu"] > _COMPUTING:
            how = f"kept it for {_time(stall['seconds'])}" if stall else "asked again and again"
            yield Reason(
                f"{opening}{code} {how} and computed meanwhile.",
                conflict="cpu-bound",
                measured=measured,
                budget=shown,
                **_at(place),
                next_step="Let a timer wake you: asyncio.sleep(seconds), once, for the whole wait.",
            )
            continue
        stopped = f"{opening}{code} stopped it" + (
            f" for {_time(stall['seconds'])}." if stall else "."
        )
        if name == "plain":
            conflict = (stall or {}).get("conflict") or "blocking-http"
            step = "Make the request with the session, which is asynchronous, and await it."
            if conflict == "blocking-sleep":
                step = "Take the sleep out: nothing needs to wait before the first attempt."
        else:
            conflict = "blocking-retry"
            step = (
                "Await the wait: asyncio.sleep instead of a call that blocks, in an async function."
            )
            crowd = facts["crowd"]
            stopped += f" Callers who never had to retry took {_time(crowd['healthy_p90'])} (p90)."
        yield Reason(
            stopped,
            conflict=conflict,
            measured=measured,
            budget=shown,
            **_at(place),
            next_step=step,
        )


# What a call returns or raises.


def _results(facts: Facts, *, blocked: bool) -> Iterator[Reason]:
    for name, doing, wanted in (
        ("plain", "A call that the service answered at once", 1),
        ("retried", "A call that fails twice and then succeeds", 3),
    ):
        found = facts[name]
        for ending, right, requests in zip(
            found["endings"], found["right"], found["requests"], strict=True
        ):
            if ending["how"] in ("unfinished", "stubborn"):
                if blocked:
                    continue  # it had no chance
                sentence = f"{doing} was not done after {_time(ending['seconds'])}"
                step = "No wait belongs before the first attempt." if name == "plain" else None
            elif ending["how"] == "raised":
                sentence = f"{doing} raised {_raised(ending)}"
                step = "Tried again at the right moments, it returns the service's text."
            elif not right:
                sentence = f"{doing} gave {ending['value']!r}, which is not the service's text"
                step = 'Return the answer\'s "text".'
            elif requests != wanted:
                sentence = f"{doing} sent {_count(requests, 'request')} instead of {wanted}"
                step = "Send the clip once an attempt."
            else:
                continue
            yield Reason(f"{sentence}.", **_at(ending["place"] or found["place"]), next_step=step)
            break


def _refusals(facts: Facts) -> Iterator[Reason]:
    permanent = facts["permanent"]
    status, ending = permanent["status"], permanent["ending"]
    if permanent["requests"] > 1:
        yield Reason(
            f"The service refused a clip with {status}, and it was sent "
            f"{permanent['requests']} times all the same.",
            conflict="retry-storm",
            measured=_count(permanent["requests"], "request"),
            budget="1 request",
            **_at(permanent["place"]),
            next_step="Try again after 429, 503 and broken connections only.",
        )
    elif not _is(ending, "TranscriptionError"):
        yield Reason(
            f"After a {status} the call {_ended(ending)} instead of raising TranscriptionError.",
            **_at(ending["place"]),
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
                measured=_count(requests, "request"),
                budget=_count(allowed, "request"),
                **_at(found["place"]),
                next_step="Stop after `attempts` requests and raise TranscriptionError.",
            )
            return
        if requests < allowed:
            yield Reason(
                f"With attempts={allowed}, only {_count(requests, 'request')} came "
                f"({'429' if name == 'busy_service' else 'broken connection'} each time), "
                f"then the call {_ended(ending)}.",
                **_at(ending["place"]),
                next_step="Try again after 429, 503 and aiohttp.ClientConnectionError.",
            )
            return
        late = name == "last" and ending["seconds"] > _BUDGETS["prompt"].limit
        if late:
            yield Reason(
                "The call waits once more after its last attempt has failed.",
                measured=_time(ending["seconds"]),
                budget=_time(_BUDGETS["prompt"].limit),
                **_at(ending["place"] or found["place"]),
                next_step="Raise TranscriptionError as soon as the last attempt has failed.",
            )
        elif not _is(ending, "TranscriptionError"):
            yield Reason(
                f"{doing}, the call {_ended(ending)} instead of raising TranscriptionError.",
                **_at(ending["place"]),
                next_step="Raise TranscriptionError when the attempts are used up.",
            )
            return


# Time and cancellation.


def _deadlines(facts: Facts) -> Iterator[Reason]:
    for name, doing in (
        ("hanging", "while the service never answered"),
        ("endless", "while the service kept failing"),
    ):
        found = facts.get(name)
        if found is None:
            continue
        ending, deadline = found["ending"], found["deadline"]
        late = ending["how"] in ("unfinished", "stubborn")
        late = late or ending["seconds"] > _BUDGETS["deadline"].limit * deadline
        if not late and _is(ending, "TimeoutError"):
            continue
        if not late and name == "endless" and _is(ending, "TranscriptionError"):
            continue  # the attempts were used up too soon for a deadline: `_waits` says so
        if late:
            sentence = (
                f"A call with a deadline of {_time(deadline)} was not over after "
                f"{_time(ending['seconds'])}, {doing}."
            )
        else:
            sentence = (
                f"A call with a deadline of {_time(deadline)} {_ended(ending)} instead of raising "
                f"TimeoutError, {doing}."
            )
        yield Reason(
            sentence,
            conflict="missing-deadline",
            measured=f"{ending['seconds'] / deadline:.1f} x the deadline",
            budget=str(_BUDGETS["deadline"]),
            **_at(found["place"]),
            next_step="Put one deadline around all attempts and waits: async with asyncio.timeout(deadline).",
        )
        return


def _cancellation(facts: Facts) -> Iterator[Reason]:
    for name, doing in (
        ("cancelled_wait", "waited to try again"),
        ("cancelled_request", "waited for an answer"),
    ):
        found = facts.get(name)
        if found is None:
            continue
        ending = found["ending"]
        if ending["how"] != "cancelled" or ending["seconds"] > _BUDGETS["cancel"].limit:
            how = "went on" if ending["how"] == "stubborn" else _ended(ending)
            yield Reason(
                f"A call was cancelled while it {doing}, and {how} instead of ending by CancelledError.",
                conflict="swallowed-cancellation",
                measured=_time(ending["seconds"]),
                budget=_time(_BUDGETS["cancel"].limit),
                **_at(found["place"]),
                next_step="Let CancelledError through: catch only what you can retry, and raise the rest.",
            )
            return
        late = found["requests_after"]
        unheard = found["calls"] - found["left"] if name == "cancelled_request" else 0
        if late or unheard > 0:
            what = f"sent {_count(late, 'request')} more" if late else "kept its request open"
            yield Reason(
                f"A call was cancelled while it {doing}; it ended, but its work went on and {what}.",
                conflict="dropped-task",
                measured=f"{_count(late or unheard, 'request')} after the end",
                budget="0 requests",
                **_at(found["place"]),
                next_step="Await the work itself, so that cancelling the call cancels it, too.",
            )
            return


# Many at once.


def _crowd(facts: Facts, *, blocked: bool) -> Iterator[Reason]:
    crowd, shipped = facts["crowd"], facts["shipped"]
    if blocked:
        return
    threads, queue = _BUDGETS["threads"], _BUDGETS["queue"]
    times = crowd["flaky_p90"] / crowd["nominal"]
    queued = times > queue.limit
    if crowd["threads"] > threads.limit:
        behind = f", and took {times:.1f} times their own waits (p90)" if queued else ""
        yield Reason(
            f"{crowd['flaky']} callers that waited to try again took {crowd['threads']} new threads"
            f"{behind}: a thread can wait for one caller only, and there are few.",
            conflict="executor-saturation",
            measured=f"{crowd['threads']} new threads",
            budget=str(threads),
            **_at(crowd["place"]),
            next_step="Wait without a thread: await asyncio.sleep(seconds).",
        )
    elif queued:
        yield Reason(
            f"Callers wait for each other: nine in ten of {crowd['flaky']} took up to {times:.1f} times "
            f"their own waits, though the loop was free.",
            conflict="sequential-awaits",
            measured=f"{times:.1f} x",
            budget=str(queue),
            **_at(crowd["place"]),
            next_step="Hold no lock, semaphore or queue while you wait to try again.",
        )
    lag = crowd["lag"] / shipped["lag"]
    if lag > _BUDGETS["lag"].limit:
        stall = crowd["stall"]
        code = f", by `{stall['code']}` for one" if stall else ""
        yield Reason(
            f"Among {crowd['callers']} callers an event waited {_time(crowd['lag'])} for the loop on average{code}.",
            conflict=(stall or {}).get("conflict") or "cpu-bound",
            measured=f"{lag:.2f} x the lag as shipped ({_time(shipped['lag'])})",
            budget=str(_BUDGETS["lag"]),
            **_at(stall or crowd["place"]),
            next_step="Do less between two awaits, or do it outside of the loop.",
        )
    if queued:
        return
    if crowd["failed"] is not None or crowd["wrong"]:
        ending = crowd["failed"]
        what = f"raised {_raised(ending)}" if ending else "got another caller's text"
        yield Reason(
            f"Among {crowd['callers']} callers at once, one {what}.",
            **_at(ending["place"] if ending else None),
            next_step="Share nothing between calls but the session.",
        )
        return
    yield from _waits(crowd)


def _waits(crowd: Facts) -> Iterator[Reason]:
    waits, ideal = crowd["waits"], crowd["ideal"]
    if not waits:
        return  # nobody got that far: `_results` says so
    share = sum(waits) / sum(ideal)
    least, most, growth = (_BUDGETS[name] for name in ("waits_least", "waits_most", "growth"))
    shown = ", ".join(_time(wait) for wait in waits)
    common: dict[str, Any] = _at(crowd["place"])
    if share < least.limit:
        yield Reason(
            f"The service got no rest: {crowd['flaky']} callers came back after {shown} on average.",
            conflict="retry-storm",
            measured=f"{share:.2f} x",
            budget=f"at least {least}",
            **common,
            next_step="Wait between attempts, twice as long each time, with jitter.",
        )
    elif waits[-1] < growth.limit * waits[0]:
        yield Reason(
            f"The waits do not grow: {shown} on average.",
            conflict="retry-storm",
            measured=f"{waits[-1] / max(waits[0], 1e-6):.1f} x",
            budget=f"at least {growth}",
            **common,
            next_step="Wait backoff * 2**n, n = 0, 1, 2, with or without jitter.",
        )
    elif share > most.limit:
        yield Reason(
            f"The waits are longer than promised: {shown} on average, where "
            f"{', '.join(_time(wait) for wait in ideal)} is the most.",
            measured=f"{share:.2f} x",
            budget=str(most),
            **common,
            next_step="Count n from 0: the first wait is `backoff` at most.",
        )


# Words.


def _at(place: Mapping[str, Any] | None) -> dict[str, Any]:
    if place is None:
        return {}
    return {"file": str(Path(place["file"])), "line": place["line"]}


def _is(ending: Mapping[str, Any], error: str) -> bool:
    return ending["how"] == "raised" and error in ending["error"].split()


def _raised(ending: Mapping[str, Any]) -> str:
    name = ending["error"].split()[0]
    return f"{name}: {ending['message']}" if ending["message"] else name


def _ended(ending: Mapping[str, Any]) -> str:
    match ending["how"]:
        case "returned":
            return f"returned {ending['value']!r}"
        case "raised":
            return f"raised {_raised(ending)}"
        case "cancelled":
            return "was cancelled"
        case _:
            return f"was not over after {_time(ending['seconds'])}"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _count(number: int, one: str) -> str:
    return f"{number} {one}{'s' * (number != 1)}"
