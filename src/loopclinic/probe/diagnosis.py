"""Names the conflict behind a stall, and says in one sentence what it was and how long it took."""

import linecache
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Protocol

from loopclinic.blocking_calls import Leaf, words
from loopclinic.probe import garbage
from loopclinic.probe.blocking_frames import (
    call_index,
    held_across_await,
    in_progress,
    retries,
)
from loopclinic.probe.remote_stack import Span
from loopclinic.probe.report import CallbackShare, Frame, Share
from loopclinic.probe.stack import PACKAGE, Place, Sample, cell_label, user_code
from loopclinic.probe.stall_samples import GilHold, StallSamples
from loopclinic.probe.witness import thread_name
from loopclinic.units import count, duration

_LINES = 50  # of one stall that are told
_NEGLIGIBLE = 0.1  # share of a stall below which other lines are none of its causes
_CHIEFLY = 0.5  # share of a stall from which on a garbage collection is what it was
_MORE = 1.2  # times as late as the iteration was long, from which on a heartbeat is worth a word
_HELD = "move it to a process, or do it in parts"  # in a thread it would keep the GIL as well
_OTHER = "Another thread kept the GIL and held the loop for {}."
_EITHER = "A call that was over, or another thread, kept the GIL and held the loop for {}."
_NO_FRAME = "A function of C that the loop called, or what a callback freed at its end, held the loop for {}."
_WAITS = frozenset(
    ("blocking-sleep", "blocking-net", "blocking-input", "blocking-sync-primitive", "blocking-http")
)

_ASYNCIO = re.compile(r"[\\/]asyncio[\\/]\w+\.py$")


class Calls(Protocol):
    """Knows the catalogue's calls by the frames of one process, as `CallIndex` does."""

    def grow(self) -> None:
        """Look for what was imported since."""

    @property
    def importing(self) -> Leaf | None:
        """What an import is."""

    def frame(self, frame: Frame) -> Leaf | None:
        """Return the call that a frame is the code of."""

    def package(self, frame: Frame) -> Leaf | None:
        """Return what a client's frame waits for."""

    def call(self, file: str, source: str, done: str = "") -> Leaf | None:
        """Return what a call that `in_progress` found is."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one stall: its stack, outermost first, and what its thread did."""

    stack: Sequence[Frame]
    guilty: int
    """Index of the frame that the stall names."""
    computes: bool | None = None
    """Whether the thread computed rather than waited, None if unknown."""
    gil_held: bool = False
    longest_hold: float | None = None
    """For how many seconds one call kept the GIL, None if that is not known."""
    seen_holding: float = 0.0
    """For how many seconds the line was seen to keep the GIL, from outside."""
    call: Span | None = None
    """Where the innermost frame's call stands in its source, if it is in one and that is known."""
    calls: "Calls | None" = None
    """What knows the calls of the stack's process; that of this one unless given."""

    @property
    def imported(self) -> bool:
        """Whether the line to blame stands in a module's body, which an import runs just then."""
        frame, above = self.stack[self.guilty], self.stack[max(0, self.guilty - 1)]
        return frame.function == "<module>" and above.file.startswith("<frozen importlib")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A conflict's name, if it has one, and the sentence."""

    conflict: str | None
    sentence: str


def detect(evidence: Evidence) -> Leaf | None:
    """Return the call of the catalogue that the stack stands in, None where it does not tell.

    The outermost one below the line decides: it is what the user called, and what it builds on is its
    own affair.
    """
    index = evidence.calls or call_index()
    index.grow()
    called = evidence.stack[evidence.guilty + 1 :]
    found = next((leaf for frame in called if (leaf := index.frame(frame)) is not None), None)
    if found is None:
        found = _in_progress(index, evidence)
    if evidence.computes is not True and (found is None or found.kind in _WAITS):
        # What is awaited is no synchronous client.
        clients = () if any(frame.coroutine for frame in called) else map(index.package, called)
        found = next((leaf for leaf in clients if leaf is not None), found)
    if found is None and evidence.imported:
        return index.importing
    return _in_its_place(found, evidence) if found is not None else None


def _in_progress(index: Calls, evidence: Evidence) -> Leaf | None:
    """Return the call of C code that the innermost frame is in."""
    frame = evidence.stack[-1]
    calls = in_progress(frame, evidence.call)
    leaves = [leaf for one in calls if (leaf := index.call(frame.file, *one)) is not None]
    if _ASYNCIO.search(frame.file) and not user_code(frame.file):  # its own sockets don't block
        leaves = [leaf for leaf in leaves if leaf.kind != "blocking-net"]
    sure = evidence.call is not None  # else it is some call of the line, and perhaps not this one
    if evidence.computes:
        certain = [leaf for leaf in leaves if sure and leaf.confidence == "certain"]
        leaves = certain or [leaf for leaf in leaves if leaf.kind not in _WAITS]
    return leaves[0] if len({leaf.kind for leaf in leaves}) == 1 else None


def _in_its_place(leaf: Leaf, evidence: Evidence) -> Leaf:
    """Return a leaf as what it is where it stands: a sleep in a retry, a lock held across an await."""
    frames = evidence.stack
    if leaf.kind == "blocking-sleep":
        first = max(
            (i for i in range(evidence.guilty) if frames[i].coroutine), default=evidence.guilty
        )
        if any(retries(one) for one in frames[first:]):
            return replace(leaf, kind="blocking-retry")
    guilty = frames[evidence.guilty]
    if leaf.kind == "blocking-sync-primitive" and held_across_await(guilty):
        return replace(leaf, kind="thread-lock-in-async")
    return leaf


def diagnose(
    evidence: Evidence, seconds: float, share: float | None = None, mine: float | None = None
) -> Diagnosis | None:
    """Return what a stall of so many seconds looks like, None where nothing tells.

    `share` is how much of the time the thread ran or wanted to, 0 to 1. `mine` is how long the named line
    took, where other lines, maybe for other causes, took more than is negligible.
    """
    took = f"held the loop for {duration(seconds)}"
    if mine is not None:
        took = f"held the loop for {duration(mine)} of {duration(seconds)}"
        seconds, share = mine, None
    waits_with_gil = evidence.seen_holding > _CHIEFLY * seconds
    if evidence.gil_held and evidence.computes is False and not waits_with_gil:
        # The loop's thread wanted nothing but the GIL, so its line is only where it happened to be.
        return Diagnosis(None, _OTHER.format(duration(seconds)))
    leaf = detect(evidence)
    if leaf is not None:
        cause = leaf.cause or f"{words(leaf.kind)[0]} ({leaf.name})"
        return Diagnosis(leaf.kind, f"{cause} {took}: {leaf.remedy}.")
    if evidence.computes or (evidence.gil_held and evidence.computes is None):
        how = f", {share:.0%} of it at work" if share is not None and evidence.computes else ""
        kept = ""
        if evidence.gil_held:
            longest = evidence.longest_hold
            single = longest is None or longest > _CHIEFLY * seconds
            kept = " in one call that keeps the GIL" if single else " in calls that keep the GIL"
        remedy = _HELD if evidence.gil_held else words("cpu-bound")[1]
        return Diagnosis("cpu-bound", f"Computation{kept} {took}{how}: {remedy}.")
    if evidence.computes is False:
        if waits_with_gil:
            return Diagnosis(None, f"The line waited, kept the GIL and {took}: {_HELD}.")
        return Diagnosis(None, f"The line waited and {took}: for what is not known.")
    return None


def findings(
    case: StallSamples | None,
    began: float,
    ended: float,
    threshold: float,
    heartbeat: float = 0.0,
    *,
    calls: Calls | None = None,
) -> dict[str, Any]:
    """Return the fields of a stall that its samples and the garbage collector tell.

    `heartbeat` is how late a timer's coroutine ran. `calls` knows those of another process, if the
    samples are of one.
    """
    seconds = ended - began
    fields: dict[str, Any] = {}
    held = False
    if case is not None:
        held = case.gil_held or (case.gil_likely and case.computes is not False)
        fields |= {
            "gil_held": held,
            "first_seen": case.first_seen(began),
            "callbacks": case.callbacks,
            "waiting": case.waiting,
        }
        fields |= _anatomy(case, began, ended)
    collected = garbage.during(began, ended) if calls is None else None
    if collected is not None:
        fields |= {"garbage": collected.seconds, "automatic_garbage": collected.automatic}
        if collected.seconds > _CHIEFLY * seconds:
            return fields | _garbage(collected, seconds)
    found = case.worst(began) if case is not None else None
    if case is not None and case.kept is not None:
        kept = case.kept
        most = next((share for share in fields["lines"]), None)
        chiefly = most is not None and (most.file, most.line) == kept.sample.place[:2]
        longest = kept.until - max(kept.since, began) > _CHIEFLY * seconds
        if chiefly or longest or found is None or found.between_callbacks:
            return fields | _held_by_thread(kept, seconds)
    if case is None or found is None or (found.between_callbacks and case.gil_likely):
        if case is not None and (held or found is not None) and case.computes is not True:
            # What only looks like a kept GIL, of a loop of unknown times, may have been a wait for a processor.
            fields["gil_held"] = case.gil_held or case.computes is False
            other = case.computes is False or found is None
            if fields["gil_held"]:
                fields["diagnosis"] = (_OTHER if other else _EITHER).format(duration(seconds))
                fields |= {"thread": ""} if other else {}
        return fields
    kept_here, longest_hold = case.holds(found.place, began)
    if held and case.computes and kept_here < _CHIEFLY * _seconds_at(found.place, fields["lines"]):
        fields["gil_held"] = held = False
    seen, _ = case.holds(found.place, began, exact=True)
    evidence = Evidence(
        found.stack(), found.guilty, case.computes, held, longest_hold, seen, found.call, calls
    )
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
    if found.place[0].startswith(f"{PACKAGE}probe"):
        own = f"The probe's own work on the stall before it held the loop for {duration(seconds)}."
        return fields | {"diagnosis": own, "gil_held": False}
    mine = _seconds_at(found.place, fields["lines"])
    mixed = sum(one.seconds for one in fields["lines"]) - mine > _NEGLIGIBLE * seconds
    told = diagnose(evidence, seconds, case.computing, mine if mixed else None)
    if found.in_handle and (told is None or told.conflict in (None, "cpu-bound")):
        told = Diagnosis(told.conflict if told else None, _NO_FRAME.format(duration(seconds)))
    said = {"conflict": told.conflict, "diagnosis": told.sentence} if told else {}
    return fields | _named(found) | said


def _anatomy(case: StallSamples, began: float, ended: float) -> dict[str, Any]:
    """Return the shares of a stall's lines and callbacks, those with the most seconds first."""
    spent, seconds = case.spent(began, ended), ended - began
    lines = sorted(spent.lines.items(), key=lambda one: -one[1])[:_LINES]
    handlers = sorted(spent.callbacks.items(), key=lambda one: -one[1])[:_LINES]
    return {
        "lines": tuple(
            Share(
                *place,
                took,
                took / seconds,
                linecache.getline(place[0], place[1]).strip(),
                cell_label(place[0]),
            )
            for place, took in lines
        ),
        "handlers": tuple(
            CallbackShare(_callback_name(place), task, took, took / seconds)
            for (place, task), took in handlers
            if place is not None
        ),
    }


def _seconds_at(place: Place, lines: Sequence[Share]) -> float:
    return sum(one.seconds for one in lines if (one.file, one.line, one.function) == place)


def _callback_name(place: Place) -> str:
    file, _, function = place
    return f"{function} in {cell_label(file) or PurePath(file).name}"


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
        "callback": _callback_name(found.entered) if found.entered is not None else None,
    }


def _held_by_thread(kept: GilHold, seconds: float) -> dict[str, Any]:
    """Return the fields of a stall that another thread's call made."""
    who = f"Thread {kept.thread}" if kept.thread else "A thread"
    sentence = f"{who} kept the GIL in one call and held the loop for {duration(seconds)}: {_HELD}."
    others = {"synchronous_cell": False, "task": None, "callback": None}
    return {
        **_named(kept.sample),
        **others,
        "gil_held": True,
        "thread": kept.thread,
        "conflict": "cpu-bound",
        "diagnosis": sentence,
    }


def _burst(case: StallSamples, found: Sample, ended: float, seconds: float) -> str:
    many = f"{case.callbacks:,}" if case.callbacks is not None else "many"
    _, _, function = found.frames[found.guilty]
    return (
        f"Too much work in one iteration: {many} callbacks in {duration(seconds)}, none longer than "
        f"about {duration(case.longest(ended))}, mostly in {function}."
    )


def _garbage(collected: garbage.Collected, seconds: float) -> dict[str, Any]:
    """Return the fields of a stall that is chiefly a garbage collection: the line that caused it, and how."""
    what = "A garbage collection" if collected.times == 1 else "Garbage collections"
    found = f"generation {collected.generation}, {count(collected.freed, 'object')} freed"
    if collected.work < _CHIEFLY * collected.seconds:  # it is not long, but its processor was taken
        found += f", {duration(collected.work)} of it at work"
    sentence = f"{what} took {duration(collected.seconds)} of {duration(seconds)} ({found})"
    run = collected.longest
    if run.sample is None:
        return {"gil_held": False, "diagnosis": f"{sentence}."}
    who = thread_name(run.thread) if run.sample.in_thread else None
    where = "" if who is None else f" in thread {who}" if who else " in another thread"
    fields: dict[str, Any] = {"gil_held": False, "thread": who}
    if garbage.asked(collected.longest):
        cause = f"called for by gc.collect(){where}: call it where no loop runs"
        fields["conflict"] = "cpu-bound"
    else:
        cause = f"set off by what this line allocates{where}: keep fewer objects, or gc.freeze() those that stay"
    fields["diagnosis"] = f"{sentence}, {cause}."
    return _named(run.sample) | fields
