"""What can be said of a lab at a desk: its tests, and what the scanner reads in its source."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.standardize.broken import BROKEN
from loopclinic.lessons.wording import span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["scan_reasons", "suite_reasons"]

Facts = Mapping[str, Any]


def suite_reasons(suite: Facts) -> Iterator[Reason]:
    """Judge the lab's tests: that they pass, that they await, that they fail where they should."""
    budget = LESSON.budgets["test"]
    if suite["hung"] is not None:
        yield Reason(
            f"Your tests stood still for {span(budget.limit)}, in {suite['hung'] or 'their imports'}.",
            measured=f"over {span(budget.limit)}",
            budget=span(budget.limit),
            timed=True,
            next_step="Run pytest in the lab's folder. Tests that need a database wait for it here.",
        )
        return
    own = suite["runs"].get("")
    if own is None:
        last = (suite["said"].strip().splitlines() or ["nothing was said"])[-1]
        yield Reason(
            f"The tests could not be run: {last}", next_step="Run pytest in the lab's folder."
        )
        return
    unawaited = list(_unawaited(own))
    yield from unawaited
    if unawaited:
        return
    if own["failed"] or own["status"]:
        yield _failing(own)
        return
    if not all(name in suite["runs"] for name in BROKEN):
        yield Reason(
            "The tests could not be run on a broken service: the package has no class BillingService.",
            next_step="Export BillingService, with its five methods, from the package.",
        )
        return
    survivors = [name for name in BROKEN if suite["runs"][name]["status"] == 0]
    if survivors:
        whom = "; one that ".join(BROKEN[name][1] for name in survivors)
        yield Reason(
            f"The tests also pass on a service that {whom}.",
            measured=f"{len(BROKEN) - len(survivors)} of {len(BROKEN)} broken services caught",
            budget=f"{len(BROKEN)} of {len(BROKEN)}",
            next_step="Await the call, then assert on what it returned, raised and stored.",
        )


def _failing(own: Facts) -> Reason:
    if not own["failed"]:
        what = "no test was found" if own["status"] == 5 else f"pytest ended with {own['status']}"  # noqa: PLR2004 - pytest.ExitCode
        return Reason(
            f"Your tests did not run: {what}.", next_step="Run pytest in the lab's folder."
        )
    first = own["failed"][0]
    more = f", and {len(own['failed']) - 1} more" if len(own["failed"]) > 1 else ""
    return Reason(
        f"{first['name']} failed{more}: {first['message'].partition(chr(10))[0]}",
        measured=f"{count(len(own['failed']), 'test')} failed",
        budget="0 tests",
        file=first["file"],
        line=first["line"],
        next_step="Move the tests with the package: `async def`, `await`, AsyncMock for what is awaited.",
    )


def _unawaited(own: Facts) -> Iterator[Reason]:
    if own["unawaited"]:
        yield Reason(
            f"The tests make coroutines and do not await them: {own['unawaited'][0]}.",
            conflict="unawaited-coroutine",
            measured=f"{count(len(own['unawaited']), 'coroutine')} never awaited",
            budget="0 coroutines",
            next_step="Make the test `async def` and await the call; a test that does not, passes always.",
        )


def scan_reasons(scan: Facts) -> Iterator[Reason]:
    """Judge what the scanner found: one reason a kind."""
    if scan["failed"] is not None:
        yield Reason(
            f"The scan came to no end: {scan['failed'].strip().splitlines()[-1]}",
            next_step="Run loopclinic scan billing in the lab's folder.",
        )
        return
    found = [one for one in scan["findings"] if one["kind"] in CONFLICTS]
    many = Counter(one["kind"] for one in found)
    for kind in many:
        first = next(one for one in found if one["kind"] == kind)
        yield Reason(
            f"The scanner reads it in the source: {first['message']}{_chain(first)}",
            conflict=kind,
            measured=count(many[kind], "finding"),
            budget="0 findings",
            file=first["file"],
            line=first["line"],
            next_step="loopclinic scan billing shows each with its chain.",
        )


def _chain(finding: Facts) -> str:
    steps = [str(one["function"]) for one in finding["chain"]]
    return f" ({' -> '.join(steps)})" if len(steps) > 1 else ""
