"""Reads what the rehearsal found: the reasons why a lab does not keep its contract yet."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.blocking_sleep import LESSON
from loopclinic.lessons.blocking_sleep.promises import cancellation, deadlines, refusals, results
from loopclinic.lessons.lesson import Trial
from loopclinic.lessons.ranking import ranked
from loopclinic.lessons.wording import at, ended, span
from loopclinic.verdict import Reason

__all__ = ["judge", "praise"]

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets
_COMPUTING = 0.2
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
    blocking, cancelled = list(_blocking(facts)), list(cancellation(facts))
    # A deadline ends a call by cancelling what it waits for: it can't work before that does, and
    # a call that is deaf to it goes on to its next attempt at once.
    deaf = any(reason.conflict == "swallowed-cancellation" for reason in cancelled)
    return ranked(
        [
            *blocking,
            *results(facts, blocked=bool(blocking)),
            *refusals(facts),
            *cancelled,
            *(() if deaf else deadlines(facts)),
            *_crowd(facts, blocked=bool(blocking), deaf=deaf),
        ]
    )


def praise(trial: Trial) -> str:
    """Return the sentence for a pass."""
    crowd, shipped = trial.facts["crowd"], trial.facts["shipped"]
    return (
        f"{crowd['flaky']} callers waited to try again, and the loop was "
        f"{span(crowd['lag_p99'])} late (p99; as shipped {span(shipped['lag_p99'])}). "
        f"Callers who never had to retry took {span(crowd['healthy_p90'])} "
        f"(p90; as shipped {span(shipped['healthy_p90'])})."
    )


# The loop itself.


def _nested(facts: Facts) -> Iterator[Reason]:
    for name in ("plain", "retried"):
        for ending in facts[name]["endings"]:
            if any(text in ending.get("message", "") for text in _NESTED):
                yield Reason(
                    f"The call runs an event loop inside the running one, which raises "
                    f"{ending['message']}",
                    conflict="nested-loop",
                    **at(ending["place"]),
                    next_step="Await the coroutine: the loop that runs your function runs it, too.",
                )
                return
    for name in ("plain", "retried", "crowd"):
        if facts.get(name, {}).get("nested"):
            yield Reason(
                "An event loop is run inside the running one: callers can only return in the reverse "
                "order in which they came.",
                conflict="nested-loop",
                **at(facts[name]["stall"] or facts[name]["place"]),
                next_step="Await the coroutine, and do without run_until_complete in async code.",
            )
            return


def _blocking(facts: Facts) -> Iterator[Reason]:
    budget = _BUDGETS["busy"]
    told: list[tuple[str, int]] = []
    for name, doing in (("plain", "waited for their answer"), ("retried", "waited to try again")):
        found = facts[name]
        if found["busy"] <= budget.limit:
            continue
        stall = found["stall"]
        place = stall or found["place"]
        if stall:
            where = (stall["file"], stall["line"])
            if where in told:
                continue  # the same line, whatever the calls wait for
            told.append(where)
        code = f" `{place['code']}`" if place and place["code"] else " Something"
        calls = len(found["endings"])
        measured = f"{found['busy']:.0%} busy"
        shown = f"{budget.limit:.0%} of the time"
        opening = f"While {calls} calls {doing}, the loop was busy {found['busy']:.0%} of the time:"
        # Where others have the processor, a spin gets little of it: the probe counts what it wants.
        wanted = stall is not None and stall["conflict"] == "cpu-bound"
        if wanted or found["cpu"] > _COMPUTING:
            how = (
                f"kept it for up to {span(stall['seconds'])}" if stall else "asked again and again"
            )
            yield Reason(
                f"{opening}{code} {how} and computed meanwhile.",
                conflict="cpu-bound",
                measured=measured,
                budget=shown,
                **at(place),
                timed=True,
                next_step="Let a timer wake you: asyncio.sleep(seconds), once, for the whole wait.",
            )
            continue
        stopped = f"{opening}{code} stopped it" + (
            f" for up to {span(stall['seconds'])}." if stall else "."
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
            stopped += f" Callers who never had to retry took {span(crowd['healthy_p90'])} (p90)."
        yield Reason(
            stopped,
            conflict=conflict,
            measured=measured,
            budget=shown,
            **at(place),
            timed=not place,
            next_step=step,
        )


# Many at once.


def _crowd(facts: Facts, *, blocked: bool, deaf: bool) -> Iterator[Reason]:
    crowd, shipped = facts["crowd"], facts["shipped"]
    if blocked:
        return
    threads, queue = _BUDGETS["threads"], _BUDGETS["queue"]
    # The time of a request is nobody's wait, and a busy machine makes it longer for all alike.
    own = crowd["flaky_p90"] - (crowd["failures"] + 1) * crowd["request"]
    times = max(own, crowd["healthy_p90"]) / crowd["nominal"]
    queued = times > queue.limit
    saturated = crowd["threads"] > threads.limit
    if saturated:
        behind = f", and took {times:.1f} times their own waits (p90)" if queued else ""
        yield Reason(
            f"{crowd['flaky']} callers that waited to try again took {crowd['threads']} new threads"
            f"{behind}: a thread can wait for one caller only, and there are few.",
            conflict="executor-saturation",
            measured=f"{crowd['threads']} new threads",
            budget=str(threads),
            **at(crowd["place"]),
            next_step="Wait without a thread: await asyncio.sleep(seconds).",
        )
    elif queued:
        yield Reason(
            f"Callers wait for each other: nine in ten of {crowd['flaky']} took up to {times:.1f} times "
            f"their own waits, though the loop was free.",
            conflict="sequential-awaits",
            measured=f"{times:.1f} x",
            budget=str(queue),
            **at(crowd["place"]),
            timed=True,
            next_step="Hold no lock, semaphore or queue while you wait to try again.",
        )
    lag = crowd["lag"] / shipped["lag"]
    stall = crowd["stall"]
    conflict = (stall or {}).get("conflict") or "cpu-bound"
    # Threads make a loop wait for its turn, too: that lag is told once they are gone.
    if lag > _BUDGETS["lag"].limit and not (saturated and conflict == "cpu-bound"):
        code = f", by `{stall['code']}` for one" if stall else ""
        yield Reason(
            f"Among {crowd['callers']} callers an event waited {span(crowd['lag'])} for the loop on average{code}.",
            conflict=conflict,
            measured=f"{lag:.2f} x the lag as shipped ({span(shipped['lag'])})",
            budget=str(_BUDGETS["lag"]),
            **at(stall or crowd["place"]),
            timed=True,
            next_step="Do less between two awaits, or do it outside of the loop.",
        )
    if queued:
        return
    if crowd["failed"] is not None or crowd["wrong"]:
        ending = crowd["failed"]
        what = ended(ending) if ending else "got another caller's text"
        yield Reason(
            f"Among {crowd['callers']} callers at once, one {what}.",
            **at(ending["place"] if ending else None),
            next_step="Share nothing between calls but the session.",
        )
        return
    yield from _waits(facts["retried"], crowd, 0.0 if deaf else facts["endless"]["requests"])


def _waits(few: Facts, crowd: Facts, hasty: float) -> Iterator[Reason]:
    waits, ideal = crowd["waits"], crowd["ideal"]
    if not waits:
        return  # nobody got that far: `_results` says so
    # Measured between a clip's arrivals, requests included: a slow machine never makes it shorter.
    share = sum(waits) / sum(ideal)
    least, most, growth, rest = (
        _BUDGETS[name] for name in ("waits_least", "waits_most", "growth", "rest")
    )
    shown = ", ".join(span(wait) for wait in waits)
    alone = sum(few["waits"]) / few["alone"]
    grown = (waits[-1] - waits[0]) / (ideal[-1] - ideal[0])
    without_requests = share - len(waits) * crowd["request"] / sum(ideal)
    common: dict[str, Any] = at(crowd["place"])
    if share < least.limit or hasty > rest.limit:
        yield Reason(
            f"The service got no rest: {crowd['flaky']} callers came back after {shown} on average, "
            f"and with a backoff of 2 s a caller sent {hasty:.1f} requests in 400 ms.",
            conflict="retry-storm",
            measured=f"{share:.2f} x; {hasty:.1f} requests a caller",
            budget=f"at least {least}; {rest}",
            **common,
            timed=True,
            next_step="Wait between attempts, twice as long each time, with jitter.",
        )
    # Where a request takes as long as a wait, the service's queue is what the gaps show.
    elif grown < growth.limit and crowd["request"] < ideal[1]:
        yield Reason(
            f"The waits do not grow: {shown} on average.",
            conflict="retry-storm",
            measured=f"{grown:.2f} x",
            budget=f"at least {growth}",
            **common,
            timed=True,
            next_step="Wait backoff * 2**n, n = 0, 1, 2, with or without jitter.",
        )
    # A slow machine makes waits longer, too, but not twice in the same way: with the requests' own
    # time among four callers, and without it in a crowd.
    elif alone > most.limit and without_requests > (1 + most.limit) / 2:
        yield Reason(
            f"The waits are longer than promised: {shown} on average, where "
            f"{', '.join(span(wait) for wait in ideal)} is the most.",
            measured=f"{min(alone, without_requests):.2f} x",
            budget=str(most),
            **common,
            timed=True,
            next_step="Count n from 0: the first wait is `backoff` at most.",
        )
