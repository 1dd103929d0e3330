"""Compares an earlier and a later verdict on the same submission."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Seen = Mapping[str, Any]
"""A verdict as it is recorded."""

_NUMBER = re.compile(r"\d[\d.,]*\d|\d")
_AMOUNT = re.compile(rf"(?:{_NUMBER.pattern})(?: (?:ms|s|[kMG]B)\b)?")
_TEXTS = ("sentence", "measured", "budget", "next_step", "timed")


class Change(NamedTuple):
    """One thing that differs; `grave` if it is the verdict itself, not only its words."""

    field: str
    old: str
    new: str
    grave: bool


def changes(old: Seen, new: Seen) -> list[Change]:
    """Return every difference, text for text."""
    return list(_changes(old, new, same=str))


def changes_of_meaning(olds: list[Seen], new: Seen) -> list[Change]:
    """Return what differs from each of several earlier trials, numbers left out.

    Live trials of one submission differ in their numbers, and a few in what they show besides.
    """
    found = [list(_changes(old, new, same=masked)) for old in olds]
    return min(found, key=lambda one: (sum(change.grave for change in one), len(one)))


def masked(value: Any) -> str:
    """Return a text without its numbers and their units."""
    return _AMOUNT.sub("#", str(value))


def _changes(old: Seen, new: Seen, same: Callable[[Any], str]) -> Iterator[Change]:
    for name in ("status", "conflict"):
        if old.get(name) != new.get(name):
            yield Change(name, str(old.get(name)), str(new.get(name)), grave=True)
    if _list(old) != _list(new):
        yield Change("reasons", _list(old), _list(new), grave=True)
    for name in ("headline", "vitals"):
        if same(old[name]) != same(new[name]):
            yield Change(name, str(old[name]), str(new[name]), grave=False)
    rest = list(old["reasons"])
    for number, reason in enumerate(new["reasons"], 1):
        before = next((one for one in rest if _key(one) == _key(reason)), None) or next(
            (one for one in rest if one.get("conflict") == reason.get("conflict")), None
        )
        if before is None:
            yield Change(f"reason {number}", "", _whole(reason), grave=False)
            continue
        rest.remove(before)
        for name in _TEXTS:
            texts = before.get(name, ""), reason.get(name, "")
            if same(texts[0]) != same(texts[1]):
                yield Change(f"reason {number}, {name}", *map(str, texts), grave=False)
    for gone in rest:
        yield Change("reason", _whole(gone), "", grave=False)


def _whole(reason: Seen) -> str:
    return " | ".join(str(reason[name]) for name in _TEXTS if name in reason)


def _key(reason: Seen) -> tuple[Any, ...]:
    return reason.get("conflict"), reason.get("file"), reason.get("line")


def _list(verdict: Seen) -> str:
    """Return the conflict and the place of each reason."""
    return "; ".join(
        f"{one.get('conflict', 'none')} at {one.get('file')}:{one.get('line', '-')}"
        for one in verdict["reasons"]
    )
