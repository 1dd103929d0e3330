"""What a comparison comes to, in a sentence: what differs, what doesn't, or that none can tell."""

import math

from loopclinic.load import Comparison, Difference
from loopclinic.load.difference import ENOUGH
from loopclinic.load.figures import FIGURES

__all__ = ["conclusion", "worse"]

_JUDGED = ("p50", "p99", "lag_max", "throughput", "errors")
_OF_A_BATCH = ("makespan", "lag_max", "errors")
_MORE_IS_BETTER = {"throughput"}


def conclusion(comparison: Comparison) -> str:
    """Return a sentence for each variant against the first; of one alone, its figures."""
    first, *others = comparison.variants
    if not others:
        shown = ", ".join(
            f"{FIGURES[name].title} {FIGURES[name].show(comparison.median(name, first))}"
            for name in _judged(comparison)
        )
        return f"{first} alone: {shown}."
    return " ".join(_sentence(comparison, first, other) for other in others)


def worse(comparison: Comparison) -> bool:
    """Whether the last variant does worse than the first in a figure that differs."""
    first, last = comparison.variants[0], comparison.variants[-1]
    return any(
        (comparison.median(name, last) > comparison.median(name, first))
        != (name in _MORE_IS_BETTER)
        for name in _judged(comparison)
        if comparison.ratio(name).found
    )


def _judged(comparison: Comparison) -> tuple[str, ...]:
    return _OF_A_BATCH if comparison.load.jobs is not None else _JUDGED


def _sentence(comparison: Comparison, first: str, other: str) -> str:
    found = {name: comparison.ratio(name, other, first) for name in _judged(comparison)}
    rounds = len(comparison.rounds[0])
    if rounds < ENOUGH:
        many = f"{rounds} round{'s' * (rounds != 1)}"
        return (
            f"Whether {other} differs from {first} can't be told from {many}: give three or more."
        )
    differ = {name: one for name, one in found.items() if one.found}
    if not differ:
        return f"No difference between {first} and {other} under this load."
    told = ", ".join(
        f"{FIGURES[name].title} {_words(comparison, name, (first, other), one)}"
        for name, one in differ.items()
    )
    same = [FIGURES[name].title for name, one in found.items() if one.found is False]
    rest = f"; no difference in {' and '.join(_listed(same))}" if same else ""
    return f"{other} against {first}: {told}{rest}."


def _words(
    comparison: Comparison, figure: str, variants: tuple[str, str], found: Difference
) -> str:
    if not math.isnan(found.ratio):
        return str(found)
    before, after = (FIGURES[figure].show(comparison.median(figure, one)) for one in variants)
    return f"{after} instead of {before}"


def _listed(names: list[str]) -> list[str]:
    return [", ".join(names[:-1]), names[-1]] if len(names) > 1 else names
