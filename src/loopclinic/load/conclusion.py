"""Summary of a comparison, in sentences."""

from typing import TYPE_CHECKING

from loopclinic.load.comparison_figures import FIGURES
from loopclinic.load.difference import ENOUGH
from loopclinic.runner.wording import where
from loopclinic.units import count

if TYPE_CHECKING:
    from loopclinic.load.comparison import Comparison

_JUDGED = ("max", "p99", "p50", "errors", "lag_max", "throughput")
_OF_A_BATCH = ("makespan", "errors", "lag_max")
_PRICES = ("errors", "p50", "throughput", "threads")
"""What the better of two may be worse in: what its advantage costs."""
_MORE_IS_BETTER = {"throughput"}
_TOLD = 0.01
"""Share of a loop's time from which on a stalled line is worth a word."""
_SAID = {
    "max": "{its} slowest {group}request takes {worse}, {better}'s {less}",
    "p99": "{its} p99 is {worse}, {better}'s {less}",
    "p50": "{its} median request takes {worse}, {better}'s {less}",
    "errors": "{worse} of {its} requests fail in a round, {less} of {better}'s",
    "lag_max": "{its} loop is up to {worse} late, {better}'s {less}",
    "throughput": "{it} answers {worse}, {better} {less}",
    "makespan": "{its} batch takes {worse}, {better}'s {less}",
}


def conclusion(comparison: "Comparison") -> str:
    """Return what differs between the first variant and the others, and what that costs."""
    first, *others = comparison.variants
    if not others:
        lead = _leading(comparison)
        what = f"slowest {_group(comparison)}request" if lead == "max" else "batch"
        stalls = _stalls(comparison, first)
        whose = f"{stalls}; its" if stalls else f"{first}'s"
        return f"{whose} {what} takes {_shown(comparison, lead, first)}."
    rounds = len(comparison.rounds[0])
    if rounds < ENOUGH:
        names, many = listed(comparison.variants), count(rounds, "round")
        return f"Whether {names} differ can't be told from {many}: give three or more."
    differing = [other for other in others if _differences(comparison, first, other)]
    if not differing:
        return f"No difference between {listed(comparison.variants)} under this load."
    lead = _leading(comparison)
    best = min(differing, key=lambda one: comparison.median(lead, one, group=_of(comparison, lead)))
    said = [_sentence(comparison, first, best)]
    for other in differing:
        found = _differences(comparison, first, other)
        if other != best and _worse(comparison, next(iter(found)), first, other) == other:
            said.append(_sentence(comparison, first, other))
    if same := [other for other in others if other not in differing]:
        said.append(f"No difference between {listed([first, *same])}.")
    return " ".join(said)


def worse(comparison: "Comparison") -> bool:
    """Return whether the last variant does worse than the first in a figure that differs."""
    first, last = comparison.variants[0], comparison.variants[-1]
    found = _differences(comparison, first, last)
    return any(_worse(comparison, name, first, last) == last for name in found)


def _leading(comparison: "Comparison") -> str:
    return "makespan" if comparison.load.jobs is not None else "max"


def _differences(comparison: "Comparison", first: str, other: str) -> list[str]:
    """Return the judged figures in which two variants differ, the most telling first."""
    judged = _JUDGED if comparison.load.jobs is None else _OF_A_BATCH
    known = {figure.name for figure in comparison.figures}

    def differ(name: str) -> bool:
        return bool(comparison.difference(name, other, first, group=_of(comparison, name)).found)

    return [name for name in judged if name in known and differ(name)]


def _of(comparison: "Comparison", name: str) -> str | None:
    return comparison.most if name == "max" else None


def _group(comparison: "Comparison") -> str:
    return f"{comparison.most} " if comparison.most else ""


def _shown(comparison: "Comparison", name: str, variant: str) -> str:
    value = comparison.median(name, variant, group=_of(comparison, name))
    return FIGURES[name].show(value)


def _counted(comparison: "Comparison", name: str, variant: str) -> str:
    """Return a figure with what it is: `4 threads`, `median request 12.0 ms`."""
    words, title = _shown(comparison, name, variant), FIGURES[name].title
    return f"{words} {title}" if words.replace(",", "").isdigit() else f"{title} {words}"


def _worse(comparison: "Comparison", name: str, first: str, other: str) -> str:
    """Return which of the two does worse in a figure."""
    more = comparison.difference(name, other, first, group=_of(comparison, name)).mean > 0
    return other if more != (name in _MORE_IS_BETTER) else first


def _sentence(comparison: "Comparison", first: str, other: str) -> str:
    found = _differences(comparison, first, other)
    name = found[0]
    slow = _worse(comparison, name, first, other)
    quick = other if slow == first else first
    stalls = _stalls(comparison, slow)
    said = _SAID[name].format(
        its="its" if stalls else f"{slow}'s",
        it="it" if stalls else slow,
        group=_group(comparison),
        worse=_shown(comparison, name, slow),
        less=_shown(comparison, name, quick),
        better=quick,
    )
    prices = [
        f"{_counted(comparison, price, quick)} instead of {_shown(comparison, price, slow)}"
        for price in _PRICES
        if comparison.difference(price, other, first).found
        and _worse(comparison, price, first, other) == quick
    ]
    cost = f" The price of {quick}: {listed(prices)}." if prices else ""
    return f"{stalls}; {said}.{cost}" if stalls else f"{said}.{cost}"


def _stalls(comparison: "Comparison", variant: str) -> str:
    """Return which line stalls a variant's loop, and for how much of the time; empty if none does."""
    seconds = sum(run.makespan for run in comparison[variant])
    for place in comparison.places(variant)[:1]:
        share = min(1.0, place.seconds / seconds)
        if share >= _TOLD:
            line = "in" if place.worst.get("burst") else "at"
            line += " " + where(place).rpartition("/")[2]  # its folders are in the table
            return f"{variant} stalls its loop {share:.0%} of the time {line}"
    return ""


def listed(names: "list[str] | tuple[str, ...]") -> str:
    """Return names as a sentence lists them: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
