"""Stories: sequences of settings that the playground plays by itself, each in under a minute."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan

from loopclinic.drawing.tables import span
from loopclinic.lessons.playground.settings import Settings
from loopclinic.lessons.playground.update_thread import Seen, Step


@dataclass(frozen=True)
class Story:
    """Steps to play, and a sentence that holds their figures."""

    key: str
    title: str
    steps: tuple[Step, ...]
    verdict: Callable[[Sequence[Seen]], str]

    def within(self, seconds: float | None) -> tuple[Step, ...]:
        """Return the steps, stretched or shortened to so many seconds in all."""
        if seconds is None:
            return self.steps
        factor = seconds / sum(step.seconds for step in self.steps)
        return tuple(replace(step, seconds=step.seconds * factor) for step in self.steps)


def _p99(seen: Seen) -> str:
    return _waits(seen, "p99")


def _waits(seen: Seen, *figures: str) -> str:
    """Return these figures of a step's moment."""
    found = (getattr(seen.moment, figure, nan) for figure in figures)
    return ", ".join("nothing yet" if isnan(one) else span(one) for one in found)


def _share(seen: Seen) -> str:
    """Return which share of the requests that ended was answered."""
    moment = seen.moment
    ended = moment.answered + moment.failed if moment else 0.0
    return f"{moment.answered / ended:.0%}" if moment and ended else "none"


_ALL = ("p50", "mean", "p99")
_QUIET = Settings(rate=100, service=0.02, spread=0.5)

_TWO = Story(
    "two-percent",
    "The 2 % that ruin the p99",
    (
        Step(_QUIET, 12, "Every request asks the upstream for some 20 ms. Nothing blocks."),
        Step(
            _QUIET.but(share=0.02, block=0.15),
            14,
            "Two requests in a hundred now sleep 150 ms on the loop. Everybody who arrives meanwhile waits.",
        ),
        Step(
            _QUIET.but(share=0.02, block=0.15, remedy="thread"),
            14,
            "The same two, sent to a thread: only they are slow.",
        ),
    ),
    lambda seen: (
        f"p99 {_p99(seen[0])} without them, {_p99(seen[1])} with two in a hundred blocking the loop, "
        f"{_p99(seen[2])} with the same two in threads: what is left is their own time."
    ),
)

_NARROW = Settings(rate=100, service=0.075, pool=11, capacity=64)

_ONE_SHORT = Story(
    "one-too-small",
    "The pool that is one too small",
    (
        Step(_NARROW, 10, "Eleven connections, of which seven or eight are in use on average."),
        Step(_NARROW.but(pool=9), 12, "Nine: a line forms now and then."),
        Step(_NARROW.but(pool=8), 12, "Eight, which is still more than are in use on average."),
        Step(_NARROW.but(pool=7), 14, "Seven, one too few: the line grows until callers give up."),
        Step(_NARROW, 8, "Eleven again: the line goes once the backlog is served."),
    ),
    lambda seen: (
        f"p99 {_p99(seen[0])} with eleven connections, {_p99(seen[1])} with nine, {_p99(seen[2])} with "
        f"eight, {_p99(seen[3])} and growing with seven. The load was the same throughout."
    ),
)

_STORMY = Settings(rate=40, service=0.125, pool=8, capacity=32, timeout=0.75, retries=3)

_STORM = Story(
    "retry-storm",
    "The retry storm",
    (
        Step(
            _STORMY,
            10,
            "A healthy service, and callers that try again after 0.75 s, up to three times.",
        ),
        Step(
            _STORMY.but(service=0.4),
            7,
            "The upstream hiccups: it takes three times as long for a moment.",
        ),
        Step(
            _STORMY,
            14,
            "The upstream has recovered. The load is not: every failure comes back as more.",
        ),
        Step(_STORMY.but(retries=0), 12, "Callers stop retrying, and it is over at once."),
    ),
    lambda seen: (
        f"Answered: {_share(seen[0])} before, {_share(seen[1])} during the hiccup, {_share(seen[2])} after "
        f"it with retries, {_share(seen[3])} without. The service worked hard throughout, "
        "for callers that had left."
    ),
)

_POOLED = Settings(rate=100, service=0.01, block=0.1, remedy="sized", threads=8, share=0.2)

_HIDDEN = Story(
    "hidden-block",
    "The thread pool that hides the block until it is full",
    (
        Step(
            _POOLED, 10, "One in five blocks for 100 ms, in one of eight threads. The loop is free."
        ),
        Step(_POOLED.but(share=0.6), 12, "Three in five. Lag stays low, and the p99 hardly moves."),
        Step(
            _POOLED.but(share=0.9),
            14,
            "Nine in ten: the eight threads are full. Look at the scope: calm.",
        ),
        Step(
            _POOLED.but(share=0.9, remedy="native"),
            10,
            "The same waits, awaited: no thread to run out of.",
        ),
    ),
    lambda seen: (
        f"p99 {_p99(seen[0])}, {_p99(seen[1])}, then {_p99(seen[2])} with the threads full, while the "
        f"loop's worst lag was {span(seen[2].lag)}; awaited natively {_p99(seen[3])}."
    ),
)

_CROWD = Settings(
    rate=70, bursts=20, service=0.04, spread=0.5, limit=8, pool=32, capacity=64, fastest_at=8
)

_LIMIT = Story(
    "limit",
    "The limit that makes everything faster",
    (
        Step(
            _CROWD,
            12,
            "Callers come twenty at a time. The upstream is fastest with eight at once, and eight is the "
            "limit: whoever waits does so outside, in nobody's way.",
        ),
        Step(
            _CROWD.but(limit=None),
            14,
            "The limit is gone. With more at once each slows the others, so more pile up, and that slows "
            "them further.",
        ),
        Step(_CROWD, 14, "The limit is back. Once the backlog is served, everything is as before."),
    ),
    lambda seen: (
        f"p50, mean and p99 with a limit of eight: {_waits(seen[0], *_ALL)}, {_share(seen[0])} answered. "
        f"Without: {_waits(seen[1], *_ALL)}, {_share(seen[1])}. The callers and the upstream were the same."
    ),
)

STORIES: dict[str, Story] = {
    story.key: story for story in (_TWO, _ONE_SHORT, _STORM, _HIDDEN, _LIMIT)
}
