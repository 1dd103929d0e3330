"""The order in which reasons are told: the root first."""

from collections.abc import Iterable

from loopclinic.conflicts import CONFLICTS
from loopclinic.verdict import Reason

__all__ = ["ranked"]


def ranked(reasons: Iterable[Reason]) -> list[Reason]:
    """Return each reason once, by the precedence of its conflict, else as they came.

    One without a conflict (a wrong result) comes before every conflict but those that keep the loop
    itself, its threads or its pool.
    """
    return sorted(dict.fromkeys(reasons), key=_rank)


def _rank(reason: Reason) -> int:
    return CONFLICTS[reason.conflict or "missing-deadline"].rank
