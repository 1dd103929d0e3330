"""Reads what the rehearsal of `publish` found."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from loopclinic.lessons.lesson import Trial
from loopclinic.lessons.unbounded_gather import LESSON
from loopclinic.verdict import Reason

__all__ = ["LEFTOVERS_JUDGED", "judge", "praise"]

LEFTOVERS_JUDGED = ("tasks",)

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets
_EXAMPLES = 3
_AT_WORK = 2
_FEW = 5


def judge(trial: Trial) -> list[Reason]:
    """Return what keeps the lab from its contract, the gravest first."""
    facts = trial.facts
    reasons = [
        *_unbounded(facts),
        *_in_flight(facts),
        *_cancellation(facts),
        *_lost_source(facts),
        *_results(facts),
        *_retries(facts),
        *_repeats(facts),
        *_waiting(facts),
    ]
    if not any(reason.conflict in {"dropped-task", "swallowed-cancellation"} for reason in reasons):
        reasons[:0] = _leftovers(facts)
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
        f"{_count(crowd['requests'], 'request')}. {tally}",
        conflict="unbounded-gather",
        measured=f"{max(held, tasks) / limit:.0f} x limit",
        budget=str(budget),
        **_at(crowd["ending"].get("place")),
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
        **_at(steady["ending"].get("place")),
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
        **_at(steady["ending"].get("place")),
        next_step=step,
    )


# What became of each post.


def _results(facts: Facts) -> Iterator[Reason]:
    steady, broken = facts["steady"], facts["broken"]
    for found, doing, wrong in (
        (
            steady,
            f"{len(steady['banned'])} of {steady['posts']} posts were refused with 422",
            "422",
        ),
        (broken, f"{len(broken['wanted'])} of as many connections broke", "reset"),
    ):
        ending = found["ending"]
        wanted = found.get("banned", found.get("wanted"))
        if ending["how"] in {"raised", "cancelled"}:
            lost = len(found["missing"])
            others = f" {_count(lost, 'post')} of the others never went out." if lost else ""
            yield Reason(
                f"{doing}, and publish ended by {_said(ending)}.{others}",
                measured=f"{lost} posts not sent",
                budget="0 posts",
                **_at(ending.get("place")),
                next_step="Catch the failure of one post around that post, and note it in `failed`.",
            )
            return
        if ending["how"] in {"unfinished", "running"}:
            if found is steady and steady["mean"] / facts["limit"] < _BUDGETS["full"].limit:
                return  # too slow to be done: `_waiting` says so
            yield Reason(
                f"publish was not done after {_time(ending['seconds'])}, though all its posts could be.",
                **_at(ending.get("place")),
                next_step="Return when the last post is done; a worker must learn that no more come.",
            )
            return
        if ending["unfinished"] > _AT_WORK:
            return  # what it says of its posts can't be complete: `_leftovers` says so
        if not ending["sound"]:
            yield Reason(
                f"publish returned {ending['value']}, which is no Summary.",
                next_step="Return a Summary: `published` is a number, `failed` a dict by post id.",
            )
            return
        if found["missing"]:
            yield Reason(
                f"publish returned, and {_count(len(found['missing']), 'post')} never arrived at "
                f"the service{_examples(found['missing'])}.",
                measured=_count(len(found["missing"]), "post"),
                budget="0 posts",
                **_at(ending.get("place")),
                next_step="Send every post, and wait for the last one before you return.",
            )
            return
        noted = set(ending["failed"])
        unnoted = [number for number in wanted if str(number) not in noted]
        if unnoted:
            yield Reason(
                f"{doing}, and {len(unnoted)} of these are not in `failed`"
                f"{_examples(unnoted)}: nobody will ever know.",
                conflict="dropped-gather-results",
                measured=f"{len(unnoted)} of {len(wanted)} lost",
                budget="0 lost",
                **_at(ending.get("place")),
                next_step="Note each failure by id where it happens, or look at every result.",
            )
            return
        innocent = sorted(noted - {str(number) for number in wanted})
        accepted = found.get("accepted", 0)
        if innocent or ending["published"] != accepted:
            counted = f"`published` is {ending['published']} and `failed` has {len(noted)}"
            yield Reason(
                f"The service accepted {accepted} posts and failed {len(wanted)} ({wrong}); {counted}.",
                measured=f"{ending['published']} and {len(noted)}",
                budget=f"{accepted} and {len(wanted)}",
                next_step="Count a post when the service has accepted it, and fail it otherwise.",
            )
            return


def _repeats(facts: Facts) -> Iterator[Reason]:
    for name, why in (("steady", "accepted or refused for good"), ("broken", "broken off")):
        repeated = facts[name]["repeated"]
        if repeated:
            yield Reason(
                f"{_count(len(repeated), 'post')} came again after being {why}"
                f"{_examples(repeated)}: what was published may be published twice.",
                conflict="retry-storm",
                measured=_count(len(repeated), "post"),
                budget="0 posts",
                **_at(facts[name]["ending"].get("place")),
                next_step="Send a post again after a 429 only.",
            )
            return


def _retries(facts: Facts) -> Iterator[Reason]:
    found, budget = facts["refusing"], _BUDGETS["retry_after"]
    ending, asked = found["ending"], found["retry_after"]
    place = _at(ending.get("place"))
    if found["shortest"] is not None and found["shortest"] < budget.limit * asked:
        yield Reason(
            f"The service answered 429 and asked for {asked} s of rest; posts came again after "
            f"{_time(found['shortest'])}. In {_time(found['closed_for'])} it had to refuse "
            f"{_count(found['requests_while_closed'], 'request')}.",
            conflict="retry-storm",
            measured=f"{found['shortest'] / asked:.2f} x Retry-After",
            budget=f"at least {budget}",
            **place,
            next_step="Sleep for the seconds in response.headers['Retry-After'] before you send it again.",
        )
        return
    if ending["how"] in {"raised", "cancelled"}:
        yield Reason(
            f"The service answered 429 to {_count(found['refused'], 'request')}, and publish ended "
            f"by {_said(ending)}.",
            **place,
            next_step="A 429 means later: wait as long as Retry-After says, then send the post again.",
        )
        return
    if ending.get("unfinished", 0) > _AT_WORK:
        return  # `_leftovers` says so
    short = found["posts"] - found["accepted"]
    if short > 0 and ending["how"] == "returned":
        listed = len(ending.get("failed", ()))
        where = "as failed" if listed else "nowhere"
        yield Reason(
            f"{_count(short, 'post')} of {found['posts']} were answered 429, which means later, and were "
            f"not sent again: they are noted {where}.",
            conflict=None if listed else "dropped-gather-results",
            measured=f"{short} posts given up",
            budget="0 posts",
            **place,
            next_step="Wait as long as Retry-After says, then send the post again.",
        )
    elif ending["how"] != "returned":
        yield Reason(
            f"{_time(ending['seconds'])} after a service that refused everything for "
            f"{_time(found['closed_for'])} (Retry-After {asked}), {found['accepted']} of "
            f"{found['posts']} posts were published and publish had not returned.",
            **place,
            next_step="Wait as long as Retry-After says, no longer, then send the post again.",
        )
    elif short < 0 or ending.get("published") != found["posts"]:
        yield Reason(
            f"Of {found['posts']} posts, each accepted after a 429 or without one, the service "
            f"accepted {found['accepted']} and `published` is {ending.get('published')}.",
            **place,
            next_step="Send a post again after a 429 only, and count it once.",
        )


# Ends.


def _cancellation(facts: Facts) -> Iterator[Reason]:
    crowd, budget = facts["crowd"], _BUDGETS["cancel"]
    ending = crowd["ending"]
    if crowd["early"]:
        if crowd["stopped"] or ending["how"] != "returned":
            return
        yield Reason(
            f"With {crowd['due']:,} posts due, publish returned after {_time(ending['seconds'])} and "
            f"{_count(crowd['requests'], 'request')}.",
            **_at(ending.get("place")),
            next_step="Publish until `posts` has no more.",
        )
        return
    common: dict[str, Any] = _at(ending.get("place"))
    # To cancel thousands of tasks takes its time, and is told under their number.
    late = ending["seconds"] > budget.limit and not crowd["stopped"]
    if ending["how"] != "cancelled" or late:
        how = "went on" if ending["how"] == "running" else f"ended by {_said(ending)}"
        if ending["how"] == "cancelled":
            how = f"took {_time(ending['seconds'])}"
        yield Reason(
            f"publish was cancelled in the middle of its posts and {how}, instead of ending at once by "
            "CancelledError.",
            conflict="swallowed-cancellation",
            measured=_time(ending["seconds"]),
            budget=str(budget),
            **common,
            next_step="Catch aiohttp.ClientError, not BaseException, and let CancelledError through.",
        )
    elif crowd["requests_after"] or crowd["left"]["tasks"]:
        yield Reason(
            f"publish was cancelled and ended, but {_count(crowd['left']['tasks'], 'task')} went on and "
            f"sent {_count(crowd['requests_after'], 'more request', 'more requests')} in 200 ms.",
            conflict="dropped-task",
            measured=_count(crowd["left"]["tasks"], "task"),
            budget="0 tasks",
            **_at(crowd["left"]["place"] or ending.get("place")),
            next_step="Let a TaskGroup own the workers, or cancel and await them in a finally.",
        )


def _lost_source(facts: Facts) -> Iterator[Reason]:
    found = facts["lost_source"]
    ending = found["ending"]
    place = _at(ending.get("place"))
    if ending["how"] in {"unfinished", "running"}:
        yield Reason(
            f"`posts` raised in the middle, and publish was still waiting {_time(ending['seconds'])} "
            "later.",
            measured=_time(ending["seconds"]),
            budget="it ends",
            **place,
            next_step="When reading `posts` fails, the workers must hear of it: a TaskGroup tells them.",
        )
    elif not found["raised"]:
        yield Reason(
            f"`posts` raised in the middle, and publish {_ended(ending)} as if all were done.",
            **place,
            next_step="Let an error of `posts` through: the caller must know that posts are missing.",
        )
    elif found["left"]["tasks"] or found["requests_after"]:
        left = found["left"]
        yield Reason(
            f"`posts` raised in the middle; publish raised that error and left "
            f"{_count(left['tasks'], 'task')} at work.",
            conflict="dropped-task",
            measured=_count(left["tasks"], "task"),
            budget="0 tasks",
            **_at(left["place"] or ending.get("place")),
            next_step="Let a TaskGroup own the workers, or cancel and await them in a finally.",
        )


def _leftovers(facts: Facts) -> Iterator[Reason]:
    for name, doing in (
        ("steady", "were sending posts"),
        ("broken", "were at broken connections"),
        ("refusing", "were waiting to send refused posts again"),
    ):
        found = facts[name]
        ending, left = found["ending"], found["left"]
        if ending["how"] != "returned":
            continue
        if ending["unfinished"] > _AT_WORK or left["tasks"]:
            many = max(ending["unfinished"], left["tasks"])
            yield Reason(
                f"publish returned while {_count(many, 'task')} {doing}: its Summary can't know what "
                "becomes of these.",
                conflict="dropped-task",
                measured=_count(many, "task"),
                budget="0 tasks",
                **_at(left["place"] or ending.get("place")),
                next_step="Await every task that you start, or cancel it and await that.",
            )
            return


# Words.


def _at(place: Mapping[str, Any] | None) -> dict[str, Any]:
    if place is None:
        return {}
    return {"file": str(Path(place["file"])), "line": place["line"]}


def _said(ending: Facts) -> str:
    match ending["how"]:
        case "raised":
            return str(ending["message"])
        case "cancelled":
            return "CancelledError"
        case "returned":
            return f"returning {ending['value']}"
        case _:
            return "nothing"


def _ended(ending: Facts) -> str:
    return f"raised {ending['message']}" if ending["how"] == "raised" else "ended"


def _examples(numbers: list[int]) -> str:
    if len(numbers) > _FEW:
        shown = ", ".join(str(number) for number in numbers[:_EXAMPLES])
        return f" (among them {shown})"
    return f" ({', '.join(str(number) for number in numbers)})"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
