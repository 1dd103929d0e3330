"""What became of each post: published, noted as failed, sent again, lost."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.unbounded_gather import LESSON
from loopclinic.lessons.unbounded_gather.endings import AT_WORK
from loopclinic.lessons.unbounded_gather.wording import examples, said
from loopclinic.lessons.wording import at, span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["repeats", "results", "retries"]

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets
_OF_A_POST = {"ClientError", "OSError"}
"""What a post that failed raises; anything else is a fault of another kind."""


def results(facts: Facts) -> Iterator[Reason]:
    """Judge what became of posts that are refused for good or broken off; at most one reason."""
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
            others = f" {count(lost, 'post')} of the others never went out." if lost else ""
            spread = lost and not _OF_A_POST.isdisjoint(ending.get("errors", ()))
            yield Reason(
                f"{doing}, and publish ended by {said(ending)}.{others}",
                conflict="unisolated-failure" if spread else None,
                measured=f"{lost} posts not sent",
                budget="0 posts",
                **at(ending.get("place")),
                next_step="Catch the failure of one post around that post, and note it in `failed`.",
            )
            return
        if ending["how"] in {"unfinished", "running"}:
            if found is steady and steady["mean"] / facts["limit"] < _BUDGETS["full"].limit:
                return  # too slow to be done: `_waiting` says so
            yield Reason(
                f"publish was not done after {span(ending['seconds'])}, though all its posts could be.",
                **at(ending.get("place")),
                timed=True,
                next_step="Return when the last post is done; a worker must learn that no more come.",
            )
            return
        if ending["unfinished"] > AT_WORK:
            return  # what it says of its posts can't be complete: `leftovers` says so
        if not ending["sound"]:
            yield Reason(
                f"publish returned {ending['value']}, which is no Summary.",
                next_step="Return a Summary: `published` is a number, `failed` a dict by post id.",
            )
            return
        if found["missing"]:
            yield Reason(
                f"publish returned, and {count(len(found['missing']), 'post')} never arrived at "
                f"the service{examples(found['missing'])}.",
                measured=count(len(found["missing"]), "post"),
                budget="0 posts",
                **at(ending.get("place")),
                next_step="Send every post, and wait for the last one before you return.",
            )
            return
        noted = set(ending["failed"])
        unnoted = [number for number in wanted if str(number) not in noted]
        if unnoted:
            yield Reason(
                f"{doing}, and {len(unnoted)} of these are not in `failed`"
                f"{examples(unnoted)}: nobody will ever know.",
                conflict="dropped-gather-results",
                measured=f"{len(unnoted)} of {len(wanted)} lost",
                budget="0 lost",
                **at(ending.get("place")),
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


def repeats(facts: Facts) -> Iterator[Reason]:
    """Judge posts that came again though they must not; at most one reason."""
    for name, why in (("steady", "accepted or refused for good"), ("broken", "broken off")):
        repeated = facts[name]["repeated"]
        if repeated:
            yield Reason(
                f"{count(len(repeated), 'post')} came again after being {why}"
                f"{examples(repeated)}: what was published may be published twice.",
                conflict="retry-storm",
                measured=count(len(repeated), "post"),
                budget="0 posts",
                **at(facts[name]["ending"].get("place")),
                next_step="Send a post again after a 429 only.",
            )
            return


def retries(facts: Facts) -> Iterator[Reason]:
    """Judge posts that were answered 429; at most one reason."""
    found, budget = facts["refusing"], _BUDGETS["retry_after"]
    ending, asked = found["ending"], found["retry_after"]
    place = at(ending.get("place"))
    if found["shortest"] is not None and found["shortest"] < budget.limit * asked:
        yield Reason(
            f"The service answered 429 and asked for {asked} s of rest; posts came again after "
            f"{span(found['shortest'])}. In {span(found['closed_for'])} it had to refuse "
            f"{count(found['requests_while_closed'], 'request')}.",
            conflict="retry-storm",
            measured=f"{found['shortest'] / asked:.2f} x Retry-After",
            budget=f"at least {budget}",
            **place,
            next_step="Sleep for the seconds in response.headers['Retry-After'] before you send it again.",
        )
        return
    if ending["how"] in {"raised", "cancelled"}:
        yield Reason(
            f"The service answered 429 to {count(found['refused'], 'request')}, and publish ended "
            f"by {said(ending)}.",
            **place,
            next_step="A 429 means later: wait as long as Retry-After says, then send the post again.",
        )
        return
    if ending.get("unfinished", 0) > AT_WORK:
        return  # `leftovers` says so
    short = found["posts"] - found["accepted"]
    if short > 0 and ending["how"] == "returned":
        listed = len(ending.get("failed", ()))
        where = "as failed" if listed else "nowhere"
        yield Reason(
            f"{count(short, 'post')} of {found['posts']} were answered 429, which means later, and were "
            f"not sent again: they are noted {where}.",
            conflict=None if listed else "dropped-gather-results",
            measured=f"{short} posts given up",
            budget="0 posts",
            **place,
            next_step="Wait as long as Retry-After says, then send the post again.",
        )
    elif ending["how"] != "returned":
        yield Reason(
            f"{span(ending['seconds'])} after a service that refused everything for "
            f"{span(found['closed_for'])} (Retry-After {asked}), {found['accepted']} of "
            f"{found['posts']} posts were published and publish had not returned.",
            **place,
            timed=True,
            next_step="Wait as long as Retry-After says, no longer, then send the post again.",
        )
    elif short < 0 or ending.get("published") != found["posts"]:
        yield Reason(
            f"Of {found['posts']} posts, each accepted after a 429 or without one, the service "
            f"accepted {found['accepted']} and `published` is {ending.get('published')}.",
            **place,
            next_step="Send a post again after a 429 only, and count it once.",
        )
