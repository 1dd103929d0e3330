"""Reads what the rehearsal of `publish` found."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.lesson import Trial
from loopclinic.lessons.unbounded_gather import LESSON
from loopclinic.lessons.unbounded_gather.endings import cancellation, leftovers, lost_source
from loopclinic.lessons.unbounded_gather.outcomes import repeats, results, retries
from loopclinic.lessons.wording import at
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["LEFTOVERS_JUDGED", "judge", "praise"]

LEFTOVERS_JUDGED = ("tasks",)

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets


def judge(trial: Trial) -> list[Reason]:
    """Return what keeps the lab from its contract, the gravest first."""
    facts = trial.facts
    reasons = [
        *_unbounded(facts),
        *_in_flight(facts),
        *cancellation(facts),
        *lost_source(facts),
        *results(facts),
        *retries(facts),
        *repeats(facts),
        *_waiting(facts),
    ]
    if not any(reason.conflict in {"dropped-task", "swallowed-cancellation"} for reason in reasons):
        reasons[:0] = leftovers(facts)
    return reasons


def praise(trial: Trial) -> str:
    """Return the sentence of a pass, with its best numbers."""
    steady, crowd, limit = trial.facts["steady"], trial.facts["crowd"], trial.facts["limit"]
    return (
        f"{steady['mean'] / limit:.0%} of a limit of {limit} in use and never one more; with "
        f"{crowd['due']:,} posts due, {crowd['held']} held and {crowd['tasks']} tasks."
    )


# Too much at once.


def _unbounded(facts: Facts) -> Iterator[Reason]:
    crowd, limit, budget = facts["crowd"], facts["limit"], _BUDGETS["held"]
    most = budget.limit * limit
    held, tasks = crowd["held"], crowd["tasks"]
    if max(held, tasks) <= most:
        return
    tally = "The check stopped there." if crowd["stopped"] else "And it went on."
    if tasks > most:
        what = f"there were {tasks:,} tasks and {held:,} posts in memory"
        step = (
            "Start `limit` workers that take posts from a small queue, or wait for a place before "
            "you start the task, not inside of it."
        )
    else:
        what = f"{held:,} posts were in memory, though there were {tasks} tasks only"
        step = (
            "Let the source wait: asyncio.Queue(maxsize=limit), or ask for a post per free place."
        )
    yield Reason(
        f"With {crowd['due']:,} posts due and a limit of {limit}, {what} after "
        f"{count(crowd['requests'], 'request')}. {tally}",
        conflict="unbounded-gather",
        measured=f"{max(held, tasks) / limit:.0f} x limit",
        budget=str(budget),
        **at(crowd["ending"].get("place")),
        next_step=step,
    )


def _in_flight(facts: Facts) -> Iterator[Reason]:
    steady, limit = facts["steady"], facts["limit"]
    if steady["peak"] <= limit:
        return
    yield Reason(
        f"The service had {steady['peak']} requests in flight at once, with a limit of {limit}.",
        conflict="unbounded-gather",
        measured=f"{steady['peak'] / limit:.1f} x limit",
        budget=str(_BUDGETS["in_flight"]),
        **at(steady["ending"].get("place")),
        next_step="Share one limit: one semaphore for all posts, or one set of `limit` workers.",
    )


def _waiting(facts: Facts) -> Iterator[Reason]:
    steady, limit, budget = facts["steady"], facts["limit"], _BUDGETS["full"]
    share = steady["mean"] / limit
    if share >= budget.limit or steady["ending"]["how"] == "raised":
        return
    if steady["missing"] and steady["ending"]["how"] == "returned":
        return  # it stopped early: that is told already
    if steady["peak"] <= 1:
        why = "posts go one after another"
        step = "Keep `limit` posts under way: as many workers, on one queue."
    elif steady["peak"] < limit // 2:
        why = f"there were never more than {steady['peak']}"
        step = "Use all of `limit`."
    else:
        why = "posts wait until the slowest of a group is done"
        step = "Start the next post when any of them is done, not when all are."
    yield Reason(
        f"On average {steady['mean']:.1f} of {limit} places were in use: {why}. "
        f"{steady['rate']:.0f} posts/s came out of it.",
        conflict="sequential-awaits",
        measured=f"{share:.2f} x limit",
        budget=f"at least {budget}",
        **at(steady["ending"].get("place")),
        timed=True,
        next_step=step,
    )
