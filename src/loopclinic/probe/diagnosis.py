"""What a stall looks like: the conflict's name, and one sentence that holds the number."""

from dataclasses import dataclass
from math import inf
from pathlib import PurePath
from typing import Any

from loopclinic.probe import garbage
from loopclinic.probe.case import Case, Kept
from loopclinic.probe.detectors import DETECTORS, IMPORT, Detector, Evidence
from loopclinic.probe.report import Frame
from loopclinic.probe.stack import Sample, cell_label
from loopclinic.units import duration

__all__ = ["Diagnosis", "detect", "diagnose", "findings"]

_CHIEFLY = 0.5  # share of a stall from which on a garbage collection is what it was
_MORE = 1.2  # times as late as the iteration was long, from which on a heartbeat is worth a word
_OTHER = "Another thread kept the GIL and held the loop for {}."
_COMPUTING = "move it to a process, or let others in between"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A conflict's name, if it has one, and the sentence."""

    conflict: str | None
    sentence: str


def detect(evidence: Evidence) -> Detector | None:
    """Return the detector whose conflict the stack shows, None where it does not tell."""
    for frame in evidence.called:
        for detector in DETECTORS:
            if detector.owns(frame):
                return detector
    reads = (detector for detector in DETECTORS if detector.reads(evidence))
    return next(reads, IMPORT if evidence.imported else None)


def diagnose(evidence: Evidence, seconds: float, share: float | None = None) -> Diagnosis | None:
    """Return what a stall of so many seconds looks like, None where nothing tells.

    `share` is how much of the time the thread ran or wanted to, 0 to 1.
    """
    took = f"held the loop for {duration(seconds)}"
    if evidence.gil_held and evidence.computes is False:
        # The loop's thread wanted nothing but the GIL, so its line is only where it happened to be.
        return Diagnosis(None, _OTHER.format(duration(seconds)))
    detector = detect(evidence)
    if detector is not None:
        return Diagnosis(detector.conflict, f"{detector.cause} {took}: {detector.repair}.")
    if evidence.computes or evidence.gil_held:
        how = f", {share:.0%} of it at work" if share is not None and evidence.computes else ""
        kept = " in one call that keeps the GIL" if evidence.gil_held else ""
        return Diagnosis("cpu-bound", f"Computation{kept} {took}{how}: {_COMPUTING}.")
    return None


def findings(
    case: Case | None, began: float, ended: float, threshold: float, heartbeat: float = 0.0
) -> dict[str, Any]:
    """Return the fields of a stall that its samples and the garbage collector tell.

    `heartbeat` is how late a timer's coroutine ran.
    """
    seconds = ended - began
    fields: dict[str, Any] = {}
    held = False
    if case is not None:
        held = case.gil_held or (case.gil_likely and case.computes is not False)
        fields |= {
            "gil_held": held,
            "first_seen": max(0.0, case.noticed - began) if case.noticed < inf else None,
            "callbacks": case.callbacks,
        }
    collected = garbage.during(began, ended)
    if collected is not None:
        fields["garbage"] = collected.seconds
        if collected.seconds > _CHIEFLY * seconds:
            return fields | {"diagnosis": _garbage(collected, seconds), "gil_held": False}
    if case is not None and case.kept is not None:
        kept = case.kept
        if kept.until - max(kept.since, began) > _CHIEFLY * seconds:
            return fields | _kept(kept, seconds)
    found = case.guilty if case is not None else None
    if case is None or found is None:
        if held:
            fields["diagnosis"] = _OTHER.format(duration(seconds))
        return fields
    evidence = Evidence(found.stack(), found.guilty, case.computes, held)
    if case.burst(ended, threshold) and detect(evidence) is None:
        sentence = _burst(case, found, ended, seconds)
        if heartbeat > _MORE * seconds:
            sentence += (
                f" With the work right before it, a timer came up to {duration(heartbeat)} late."
            )
        return fields | {"burst": True, "diagnosis": sentence, "gil_held": False}
    if found.polling:  # a poll that does not wait is over at once, where its thread may go on
        waited = (
            f"The loop waited {duration(seconds)} for a processor, or for the GIL: nothing ran."
        )
        return fields | {"diagnosis": waited}
    told = diagnose(evidence, seconds, case.computing)
    return fields | _named(found) | _words(told)


def _named(found: Sample) -> dict[str, Any]:
    """Return the fields of a stall that a stack tells."""
    stack = found.stack()
    frame = stack[found.guilty]
    return {
        "file": frame.file,
        "line": frame.line,
        "function": frame.function,
        "code": frame.code,
        "stack": stack,
        "cell": cell_label(frame.file),
        "synchronous_cell": found.synchronous_cell,
        "task": found.task,
        "callback": _callback(stack, found),
    }


def _kept(kept: Kept, seconds: float) -> dict[str, Any]:
    """Return the fields of a stall that another thread's call made."""
    who = f"Thread {kept.thread}" if kept.thread else "A thread"
    sentence = (
        f"{who} kept the GIL in one call and held the loop for {duration(seconds)}: {_COMPUTING}."
    )
    others = {"synchronous_cell": False, "task": None, "callback": None}
    return {
        **_named(kept.sample),
        **others,
        "gil_held": True,
        "thread": kept.thread,
        "conflict": "cpu-bound",
        "diagnosis": sentence,
    }


def _callback(stack: tuple[Frame, ...], found: Sample) -> str | None:
    """Return the name of the handler, job or callback that the loop ran, and the file it is in."""
    if found.entry is None:
        return None
    frame = stack[found.entry]
    return f"{frame.function} in {cell_label(frame.file) or PurePath(frame.file).name}"


def _words(told: Diagnosis | None) -> dict[str, Any]:
    if told is None:
        return {}
    return {"conflict": told.conflict, "diagnosis": told.sentence}


def _burst(case: Case, found: Sample, ended: float, seconds: float) -> str:
    many = f"{case.callbacks:,}" if case.callbacks is not None else "many"
    _, _, function = found.frames[found.guilty]
    return (
        f"Too much work in one iteration: {many} callbacks in {duration(seconds)}, none longer than "
        f"about {duration(case.longest(ended))}, mostly in {function}."
    )


def _garbage(collected: garbage.Collected, seconds: float) -> str:
    what = "A garbage collection" if collected.times == 1 else "Garbage collections"
    return (
        f"{what} took {duration(collected.seconds)} of {duration(seconds)} "
        f"(generation {collected.generation}, {collected.freed:,} objects freed)."
    )
