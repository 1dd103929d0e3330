"""What is said of a program in the end: as text, as one page, as JSON."""

import json
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import loopclinic
from loopclinic.conflicts import CONFLICTS
from loopclinic.review.program import Ending, Target
from loopclinic.review.recording import Loop, Place, Recording
from loopclinic.review.wording import diagnosis, figures, lesson_of, slow, where
from loopclinic.units import duration

__all__ = ["Review"]

_PLACES = 10  # in the text
_LOOPS = 5
_MANY = 50  # loops in one program that no design asks for


@dataclass(frozen=True)
class Review:
    """One program, watched from its beginning to its end. Times are in seconds."""

    target: str
    command: str
    """What repeats it."""
    ending: Ending
    threshold: float
    seconds: float
    python: str
    machine: str
    finished: str
    """The moment, in UTC."""
    loops: tuple[Loop, ...]
    """The first two hundred, in the order they began."""
    more_loops: int
    """How many more there were; their stalls are in `places`."""
    stalls: int
    """How many there were in all."""
    places: tuple[Place, ...]
    """The lines that stalled, the costliest first."""
    notes: tuple[str, ...]
    """What makes the figures less than they seem, a sentence each."""

    @classmethod
    def of(cls, recording: Recording, target: Target, ending: Ending, *, threshold: float) -> Self:
        """Conclude a recording."""
        recording.finish()
        cores = os.cpu_count()
        return cls(
            target=str(target),
            command=f"loopclinic run --threshold {threshold:g} {target}",
            ending=ending,
            threshold=threshold,
            seconds=ending.seconds,
            python=f"{platform.python_implementation()} {recording.python or 'unknown'}",
            machine=f"{platform.system()} {platform.machine()}, {cores} cores",
            finished=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            loops=tuple(recording.loops),
            more_loops=recording.more_loops,
            stalls=recording.stalls,
            places=tuple(recording.places()),
            notes=tuple(_notes(recording, ending)),
        )

    @property
    def headline(self) -> str:
        """The whole in one sentence."""
        if not self.loops and not self.more_loops:
            return "No event loop ran in it."
        if not self.places:
            return f"No stall over {duration(self.threshold)}."
        worst, lost = self.places[0], sum(place.seconds for place in self.places)
        many = f"{self.stalls} stall{'s' * (self.stalls != 1)} over {duration(self.threshold)}"
        return (
            f"{many}, {duration(lost)} in all; {where(worst)} took {duration(worst.seconds)} of it."
        )

    def __str__(self) -> str:
        lines = [
            f"\nloopclinic: {self.target} {self.ending}, after {duration(self.seconds)}",
            f"  {self.headline}",
        ]
        shown = sorted(self.loops, key=lambda loop: loop.cost, reverse=True)[:_LOOPS]
        for loop in shown:
            lines.append(f"  loop {loop.number}, {loop.thread}: {figures(loop)}")
            if callbacks := slow(loop):
                lines.append(f"{'':6} slowest callbacks: {callbacks}")
        more = len(self.loops) + self.more_loops - len(shown)
        if more:
            lines.append(f"  and {more} more loop{'s' * (more != 1)}")
        for place in self.places[:_PLACES]:
            lines += [f"  {line}" for line in _told(place)]
        if len(self.places) > _PLACES:
            lines.append(f"  and {len(self.places) - _PLACES} more places")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values (schema 1)."""
        return {
            "schema": 1,
            "loopclinic": loopclinic.__version__,
            "target": self.target,
            "command": self.command,
            "ending": {
                "status": self.ending.status,
                "orderly": self.ending.orderly,
                "sentence": str(self.ending),
            },
            "threshold": self.threshold,
            "seconds": self.seconds,
            "python": self.python,
            "machine": self.machine,
            "finished": self.finished,
            "headline": self.headline,
            "loops": [loop.to_dict() for loop in self.loops],
            "more_loops": self.more_loops,
            "places": [_place(place) for place in self.places],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return the review as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    def to_html(self) -> str:
        """Return the review as one page that needs nothing else."""
        from loopclinic.review.page import page  # noqa: PLC0415 - only where it is asked for

        return page(self)


def _told(place: Place) -> list[str]:
    times = f"{len(place.stalls)} x" if len(place.stalls) > 1 else "once"
    worst = f", worst {duration(place.worst['seconds'])}" if len(place.stalls) > 1 else ""
    lines = [
        f"{times:>6} {duration(place.seconds)}{worst} at {where(place)}  {place.code}".rstrip()
    ]
    if place.worst.get("unfinished"):
        lines.append(f"{'':6} and it was stuck there when the program ended")
    sentence, lesson = diagnosis(place), lesson_of(place.conflict)
    if sentence:
        lines.append(
            f"{'':6} {place.conflict}: {sentence}" if place.conflict else f"{'':6} {sentence}"
        )
    if lesson is not None:
        lines.append(f"{'':6} -> lesson {' '.join(lesson)}")
    return lines


def _place(place: Place) -> dict[str, Any]:
    worst = place.worst
    return {
        "where": where(place),
        "file": worst["file"],
        "line": worst["line"],
        "code": place.code,
        "conflict": place.conflict,
        "diagnosis": diagnosis(place),
        "lesson": lesson[0] if (lesson := lesson_of(place.conflict)) is not None else None,
        "stalls": len(place.stalls),
        "seconds": place.seconds,
        "worst": worst["seconds"],
    }


def _notes(recording: Recording, ending: Ending) -> list[str]:
    notes = []
    if recording.blind is not None:
        notes.append(f"the program could not be watched: {recording.blind}.")
    elif not recording.heard:
        notes.append("the program could not be watched: its Python never began to.")
    elif not recording.loops_begun and ending.status == 0:
        notes.append(
            "processes that a program starts are not watched: with workers or a reloader, run it "
            "with one worker and without."
        )
    if recording.loops_begun >= _MANY:
        notes.append(
            f"{recording.loops_begun} loops were run ({CONFLICTS['loop-per-call'].name}: "
            "keep one loop and hand it the work)."
        )
    cut = [loop for loop in recording.loops if not loop.over and loop.unwatched is None]
    if cut and not ending.orderly:
        notes.append("figures are those last heard, at most a second before the end.")
    stalled = [loop.report.get("witness_error") for loop in recording.loops if loop.stalls]
    unseen = {str(why) for why in stalled if why is not None}
    notes += [
        f"a call that keeps the GIL is named only when it ends: {why}." for why in sorted(unseen)
    ]
    if recording.dropped:
        notes.append(f"{recording.dropped} of the shortest stalls are counted and not listed.")
    return notes
