"""Report of a watched program as text and JSON."""

import json
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

import loopclinic
from loopclinic.conflicts import CONFLICTS
from loopclinic.runner import wording
from loopclinic.runner.program import Ending, Target
from loopclinic.runner.program_record import Loop, Place, Process, Recording
from loopclinic.scanner.scan_report import Report
from loopclinic.scanner.seen import sentences, with_seen
from loopclinic.units import count, duration

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
    processes: tuple[Process, ...]
    """Those that were watched, the program's own first."""
    unwatched: tuple[str, ...]
    """What was not watched from beginning to end, and why, a sentence each."""
    notes: tuple[str, ...]
    """What makes the figures less than they seem, a sentence each."""
    scan: Report | None = None
    """The scan of its source, with what the run saw of each finding."""

    def scanned(self, report: Report) -> Self:
        """Return the report with a scan of the source, whose findings say what the run saw of them."""
        stalls = [stall for place in self.places for stall in place.stalls]
        return replace(self, scan=with_seen(report, stalls))

    @classmethod
    def of(
        cls,
        recording: Recording,
        target: Target | str,
        ending: Ending,
        *,
        threshold: float,
        command: str | None = None,
        notes: Iterable[str] = (),
    ) -> Self:
        """Build the report of a recording; `command` repeats it, `notes` come before its own."""
        recording.finish()
        main = recording.main
        cores = os.cpu_count() or 1
        return cls(
            target=str(target),
            command=command or f"loopclinic run --threshold {threshold:g} {target}",
            ending=ending,
            threshold=threshold,
            seconds=ending.seconds,
            python=f"{platform.python_implementation()} {main.python if main else 'unknown'}",
            machine=f"{platform.system()} {platform.machine()}, {count(cores, 'core')}",
            finished=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            loops=tuple(recording.loops),
            more_loops=recording.more_loops,
            stalls=recording.stalls,
            places=tuple(recording.places()),
            processes=tuple(recording.processes.values()),
            unwatched=tuple(_unwatched(recording, ending)),
            notes=(*notes, *_notes(recording, ending)),
        )

    @property
    def headline(self) -> str:
        """The whole in one sentence."""
        count = len(self.loops) + self.more_loops
        seen = count - sum(loop.unwatched is not None for loop in self.loops)
        if not seen and self.unwatched:
            return f"No event loop was watched: {self.unwatched[0]}."
        if not count:
            return "No event loop ran in it."
        waited = [sentence for loop in self.loops for sentence in wording.queues(loop)]
        but = f" But {waited[0]}." if waited else ""
        if not self.places and self.unwatched:
            loops = "the loop" if seen == 1 else f"the {seen} loops"
            more = f" (and {len(self.unwatched) - 1} more)" if self.unwatched[1:] else ""
            return (
                f"No stall over {duration(self.threshold)} was seen in {loops} that could be watched; "
                f"not watched: {self.unwatched[0]}{more}.{but}"
            )
        if not self.places:
            return f"No stall over {duration(self.threshold)}.{but}"
        worst, lost = self.places[0], sum(place.seconds for place in self.places)
        many = f"{self.stalls} stall{'s' * (self.stalls != 1)} over {duration(self.threshold)}"
        line = wording.where(worst).rpartition("/")[2]
        return f"{many}, {duration(lost)} in all; {line} took {duration(worst.own)} of it."

    def __str__(self) -> str:
        ended = f"{self.target} {self.ending}, after {duration(self.seconds)}"
        lines = [f"\nloopclinic: {ended}", f"  {self.headline}"]
        shown = sorted(self.loops, key=lambda loop: loop.cost, reverse=True)[:_LOOPS]
        for loop in shown:
            lines.append(f"  loop {loop.number}, {wording.whose(loop)}: {wording.figures(loop)}")
            lines += [f"{'':6} {sentence}" for sentence in wording.queues(loop)]
            if callbacks := wording.slow(loop):
                lines.append(f"{'':6} slowest callbacks: {callbacks}")
        more = len(self.loops) + self.more_loops - len(shown)
        if more:
            lines.append(f"  and {more} more loop{'s' * (more != 1)}")
        for place in self.places[:_PLACES]:
            lines += [f"  {line}" for line in _told(place)]
        if len(self.places) > _PLACES:
            lines.append(f"  and {len(self.places) - _PLACES} more places")
        lines += [f"  not watched: {what}." for what in self.unwatched[:_PLACES]]
        if self.scan is not None:
            lines += [f"  scan: {sentence}" for sentence in sentences(self.scan)]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values (schema 1)."""
        plain = ("threshold", "seconds", "python", "machine", "finished", "headline")
        ending = self.ending
        return {
            "schema": 1,
            "loopclinic": loopclinic.__version__,
            "target": self.target,
            "command": self.command,
            "ending": {"status": ending.status, "orderly": ending.orderly, "sentence": str(ending)},
            **{name: getattr(self, name) for name in plain},
            "loops": [loop.to_dict() for loop in self.loops],
            "more_loops": self.more_loops,
            "places": [_place(place) for place in self.places],
            "processes": [process.to_dict() for process in self.processes],
            "unwatched": list(self.unwatched),
            "notes": list(self.notes),
            **({"scan": self.scan.as_dict()} if self.scan is not None else {}),
        }

    def to_json(self) -> str:
        """Return the review as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    def to_html(self) -> str:
        """Return the review as one page that needs nothing else."""
        from loopclinic.runner.program_page import page  # only where it is asked for

        return page(self)


def _told(place: Place) -> list[str]:
    times = f"{len(place.stalls)} x" if len(place.stalls) > 1 else "once"
    worst = f", worst {duration(place.worst['seconds'])}" if len(place.stalls) > 1 else ""
    line = f"{times:>6} {duration(place.seconds)}{worst} at {wording.where(place)}  {place.code}"
    lines = [line.rstrip()]
    if place.worst.get("unfinished"):
        lines.append(f"{'':6} and it was stuck there at the end")
    if told := wording.parts(place):
        lines.append(f"{'':6} {told}")
    if (place.worst.get("waiting") or {}).get("ready"):
        lines.append(f"{'':6} {place.worst['waited']}")
    sentence, lesson = wording.diagnosis(place), wording.lesson_of(place.conflict)
    if sentence:
        lines.append(f"{'':6} {f'{place.conflict}: ' if place.conflict else ''}{sentence}")
    if lesson is not None:
        lines.append(f"{'':6} -> lesson {' '.join(lesson)}")
    return lines


def _place(place: Place) -> dict[str, Any]:
    return {
        "where": wording.where(place),
        **place.to_dict(),
        "diagnosis": wording.diagnosis(place),
        "lesson": lesson[0] if (lesson := wording.lesson_of(place.conflict)) is not None else None,
        "own": place.own,
        "lines": place.lines,
        "waiting": place.worst.get("waiting"),
    }


def _unwatched(recording: Recording, ending: Ending) -> Iterator[str]:
    main = recording.main
    if main is None:
        yield "the program: its Python never ran our sitecustomize"
    elif main.blind is not None:
        yield f"the program: {main.blind}"
    yield from recording.unwatched
    for loop in recording.loops:
        if loop.unwatched is not None:
            yield f"loop {loop.number} ({wording.whose(loop)}): {loop.unwatched}"
    own = [loop for loop in recording.loops if loop.process is None]
    if not ending.orderly and not all(loop.over for loop in own):
        yield "the program's last tenth of a second, since it was ended from outside"
    cut = {
        loop.process.pid: loop.process
        for loop in recording.loops
        if loop.process is not None and not loop.over and not loop.process.ended
    }
    for process in cut.values():
        yield f"the last tenth of a second of {process}, which was ended from outside or still runs"


def _notes(recording: Recording, ending: Ending) -> list[str]:
    notes = []
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
    late = "a call that keeps the GIL is named only when it ends"
    notes += [f"{late}: {why}." for why in sorted(unseen)]
    if recording.dropped:
        notes.append(f"{recording.dropped} of the shortest stalls are counted and not listed.")
    return notes
