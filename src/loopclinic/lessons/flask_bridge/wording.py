"""Answers, as a reason says them."""

from collections.abc import Mapping

from loopclinic.units import count

__all__ = ["refusals"]


def refusals(answers: Mapping[str, int]) -> str:
    """Return what was answered instead of 204: `3 times 500, 1 time not at all`."""
    words = {"0": "by a lost connection", "-1": "not at all"}
    return ", ".join(
        f"{count(number, 'time')} {words.get(status, status)}"
        for status, number in sorted(answers.items())
    )
