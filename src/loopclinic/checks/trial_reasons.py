"""Reasons that no lesson gives: an early end, leftovers, a fault of the kit, a machine that was too busy."""

import linecache
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loopclinic.checks.child_messages import REPORTED
from loopclinic.checks.child_reports import Outcome
from loopclinic.checks.trial_processes import WINDOW, Limits
from loopclinic.lessons.core import Place
from loopclinic.lessons.core.verdicts import AWAIT_ALL, none_of, reported
from loopclinic.probe import Frame
from loopclinic.probe.diagnosis import Evidence, detect
from loopclinic.units import count
from loopclinic.verdict import Reason

_COMPUTING = 0.5
"""Share of a trial's time from which on a lab that is stuck computes: one that waits wants a tenth of it."""
_KEYBOARD = r"\b(input|stdin|fileinput|getpass)\b|\b(open|read)\W+0\b"
_STARTS_TASK = r"create_task\s*\(|ensure_future\s*\("
_OPENS_SESSION = r"\bClientSession\s*\("
_CLOSES_STDOUT = r"stdout\s*\.\s*close|\bclose(range)?\s*\("

UNAWAITED = "unawaited-coroutine"

_MOST = 0.3
"""Share of the trial's time that others took, from which on what was measured may be their doing."""
_MOST_BRIEF = 0.6
"""Share of any two seconds, from which on a promise that was judged in them may have missed it."""
_ENDLESS = 0.9
"""Share of its time for which only a lab that computes without end wants the processor."""


# Places, as the child reports them: file, line and code by name.


def line_of(text: str, pattern: str) -> int | None:
    """Return the first line of `text` that matches, comments left out, or None."""
    lines = enumerate(text.splitlines(), 1)
    return next((no for no, line in lines if re.search(pattern, line.partition("#")[0])), None)


def _text_at(text: str, line: int | None) -> str:
    lines = text.splitlines()
    return lines[line - 1].strip() if line and line <= len(lines) else ""


def _quoted(code: str) -> str:
    return f": `{code}`" if code else ""


def _at(place: Mapping[str, Any] | None) -> str:
    """Return ` at line 7: ...` with its code, or nothing."""
    return f" at line {place['line']}{_quoted(place['code'])}" if place else ""


def _reason(
    said: str,
    step: str,
    lab: Path,
    place: Mapping[str, Any] | None = None,
    line: int | None = None,
    **more: Any,
) -> Reason:
    """Return a reason at this place; where none is known, at this line of the lab."""
    found = place or {}
    file, line = found.get("file") or lab, found.get("line", line)
    return Reason(said, file=str(file), line=line, next_step=step, **more)


# The end.


def reason_of_end(outcome: Outcome, lab: Path, text: str, limits: Limits) -> Reason | None:
    """Return the reason when the learner's file ended the trial, or None if it came to its end.

    `text` is the learner's file.
    """
    end = outcome.end
    when = f'in the step "{outcome.step}"' if outcome.step else "while it was imported"
    if outcome.cause != "ended":
        return _of_limit(outcome, lab, text, limits, when)
    place = end.get("place")
    match end["how"]:
        case "done":
            return None
        case "syntax":
            return _of_syntax(end, lab)
        case "contract":
            return _of_contract(end["broken"], lab)
        case "replaced":
            said = f"The file replaces {', '.join(end['names'])}, which belongs to everything in the process."
            step = "Leave it as it is and fix your own code instead."
            # As nest_asyncio and nest_asyncio2 do, so that a loop can be run inside the running one.
            conflict = "nested-loop" if "asyncio.run" in end["names"] else None
            return _reason(said, step, lab, line=end["line"], conflict=conflict)
        case "keyboard":
            line = None if place else line_of(text, _KEYBOARD)
            if line:  # on a thread that was handed `input`
                place = {"line": line, "code": _text_at(text, line)}
            said = f"The file reads the keyboard {when}{_at(place)}. A service has none: it would wait for good."
            step = "Take what you need from arguments, files or the environment."
            conflict = "blocking-input" if end["on_loop"] else None
            return _reason(said, step, lab, place, conflict=conflict)
        case "exit":
            value = "" if end["code"] is None else f" (status {end['code']})"
            said = f"The file left the process by {end['type']}{value} {when}{_at(place)}."
            step = "Raise an ordinary exception, or return: a service must not exit on one call."
            return _reason(said, step, lab, place)
    said = f"{end['type']}: {end['message']}" if end["message"] else end["type"]
    if end["phase"] == "import":
        said, step = f"Importing the file raised {said}{_at(place)}.", _import_step(end)
    elif place:
        said = f"The file raised {said} {when}{_at(place)}."
        step = "Raise only what the contract at the top of the file allows."
    else:  # `could_not_run` tells all others
        said = f"The file stopped the event loop or canceled tasks not its own {when}."
        step = "End only the tasks that you started, and leave the loop alone."
    return _reason(said, step, lab, place)


def _of_limit(outcome: Outcome, lab: Path, text: str, limits: Limits, when: str) -> Reason:
    """Return the reason for a trial that broke a limit, or whose process died."""
    place, stuck = _innermost(outcome, lab, text), outcome.stuck
    if outcome.cause == "died":
        place = outcome.leaves or place
    elif place is None:  # as last reported, else where a task waits
        place = (stuck and stuck["place"]) or next(iter(outcome.waits), None)
    if outcome.cause == "deadline":
        return _of_deadline(outcome, lab, limits, when, place)
    match outcome.cause:
        case "memory":
            what = "used more memory than a check allows"
            step = "Keep less at a time: bound what is read, queued or started at once."
        case "output":
            what, step = "printed without end", "Take the printing out of the loop."
        case "processes":
            what = "started processes without end"
            step = "Start a fixed number of processes and wait for them."
        case _:
            status = outcome.exit_status
            how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
            said = f"The file ended the whole process ({how}) {when}{_at(place)}."
            step = "Nothing in a lab may end the process: return or raise instead."
            return _reason(said, step, lab, place)
    size = "{:.0f} processes".format if outcome.cause == "processes" else _size
    said, most = f"The file {what} {when}{_at(place)}.", size(getattr(limits, outcome.cause))
    return _reason(said, step, lab, place, measured=size(outcome.used), budget=most)


def _of_deadline(
    outcome: Outcome, lab: Path, limits: Limits, when: str, place: Mapping[str, Any] | None
) -> Reason:
    seconds, more, stuck = outcome.used, dict[str, Any](), outcome.stuck
    if stuck is not None and place:
        place = stuck["place"] or place
        line, code, seconds = place["line"], place["code"], stuck["seconds"]
        there = f"{'' if stuck['share'] > 0.9 else 'mostly '}at line {line}"
        said = f"The file was stuck {there} for {seconds:.0f} s"
        if (times := stuck["stretches"]) > 1:
            said = f"The file was stuck {times} times, {seconds:.0f} s in all, {there}"
        said += f"{_quoted(code)} {when}."
        step = "Nothing else could run meanwhile: let this end, or await what it waits for."
        if outcome.step:  # before that, no loop ran
            frame = Frame(str(place.get("file") or lab), line, "", code)
            computes = outcome.wanted > _COMPUTING
            leaf = detect(Evidence((frame,), 0, computes=computes, gil_held=False))
            more["conflict"] = leaf.kind if leaf else None
    elif outcome.waits:
        place = outcome.waits[0]
        said = f"The check got no further {when}: after {outcome.step_seconds:.0f} s, line {place['line']} "
        said += f"still waits{_quoted(place['code'])}."
        step = "See that what it awaits is always set, or give the wait a timeout."
    else:
        said = f"The check was not done after {seconds:.0f} s: it hung {when}."
        step = "See that every call ends, and soon: the contract names the deadline."
    more |= {"measured": f"{seconds:.0f} s", "budget": f"{limits.seconds:.0f} s"}
    return _reason(said, step, lab, place, **more)


def _innermost(outcome: Outcome, lab: Path, text: str) -> dict[str, Any] | None:
    """Return the learner's innermost place in the last stack dump, or None."""
    # The stack dump holds names in ASCII with escapes.
    escaped = str(lab).encode("ascii", "backslashreplace").decode()
    for file, line in outcome.stack:
        if file in (str(lab), escaped):
            return {"file": str(lab), "line": line, "code": _text_at(text, line)}
        if file.startswith((f"{lab}{os.sep}", f"{escaped}{os.sep}")):
            return {"file": file, "line": line, "code": linecache.getline(file, line).strip()}
    return None


def _size(amount: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if amount >= scale:
            return f"{amount / scale:.1f} {unit}"
    return f"{amount / 1e3:.0f} kB"


def _of_syntax(end: dict[str, Any], lab: Path) -> Reason:
    text, pointer = (end["text"] or "").rstrip(), ""
    if text.strip():
        indent = len(text) - len(text.lstrip())
        offset = max((end["offset"] or 1) - 1 - indent, 0)
        pointer = f"\n{text.lstrip()}\n{' ' * min(offset, len(text))}^"
    said = f"Python can't read line {end['line']}: {end['message']}.{pointer}"
    place = {"line": end["line"], **({"file": end["file"]} if lab.is_dir() else {})}
    return _reason(said, "Fix this line, or the one above it, and save.", lab, place)


def _of_contract(broken: dict[str, Any], lab: Path) -> Reason:
    name, found, figures = broken["name"], broken["found"], dict[str, Any]()
    match broken["how"]:
        case "missing":
            meant = f" The closest name in it is {found}." if found else ""
            said = f"The file defines no {name}.{meant}"
            step = f"Call it {name}: the contract at the top of the file names it."
        case "not-callable":
            said = f"{name} is of type {found} and can't be called."
            step = f"Define {name} as the contract at the top of the file says."
        case _:
            figures = {"measured": found, "budget": broken["wanted"]}
            said = f"{found} can't be called like {broken['wanted']}."
            step = "Give it the parameters of the contract; more, with defaults, are fine."
    return _reason(said, step, lab, line=broken["line"], **figures)


def _import_step(end: dict[str, Any]) -> str:
    if end["type"] == "ModuleNotFoundError":
        return "Install what it names into the kit's environment, or do without it."
    if "running event loop" in end["message"] or "loopclinic.check" in end["message"]:
        return "Put what runs the file under if __name__ == '__main__':."
    return "A file that is imported should only define things: fix this line."


# What is left.


def reasons_for_leftovers(
    facts: Mapping[str, Any],
    lab: Path,
    text: str,
    judged: Collection[str],
    *,
    promise: int | None = None,
) -> list[Reason]:
    """Return a reason for each kind of leftover that is not in `judged`.

    `promise` is the number of the contract's promise that whatever still runs or is open breaks.

    Kinds: `tasks`, `threads`, `calls`, `processes`, `sessions`, `stdout`, `file`.
    """
    left, kept = facts.get("leftovers", {}), facts.get("belongings", {})
    if left.get("processes") and all("waitpid-" in one["name"] for one in left.get("threads", ())):
        judged = {*judged, "threads"}  # asyncio's, which wait for these processes
    kinds = ("tasks", "threads", "calls", "processes", "sessions")
    found = [kind for kind in kinds if kind not in judged and left.get(kind)]
    reasons = [_of_leftovers(kind, left[kind], lab, text) for kind in found]
    errors = facts.get("loop_errors", ())
    if not left.get("sessions"):
        opens = line_of(text, _OPENS_SESSION)
        reasons += (replace(one, line=opens) for one in _reported(errors, "Unclosed ", lab))
    reasons = [replace(reason, promise=promise) for reason in reasons]
    # Tasks that went on until the check closed their session have nobody who could look.
    if all(reason.conflict != "dropped-task" for reason in reasons):
        reasons += _reported(errors, "never retrieved", lab)
    if "stdout" not in judged and not kept.get("stdout_open", True):
        said = "The file closes the process' standard output."
        step = "Leave it open: everything in the process prints there."
        reasons.append(_reason(said, step, lab, line=line_of(text, _CLOSES_STDOUT)))
    if "file" not in judged and not kept.get("file_kept", True):
        said = "The file deletes itself (here a copy; yours is still there)."
        line = (kept.get("removed_at") or {}).get("line")
        reasons.append(_reason(said, "Take the deletion out.", lab, line=line))
    return reasons


def _of_leftovers(kind: str, found: list[dict[str, Any]], lab: Path, text: str) -> Reason:
    """Return the reason for what is left of one kind."""
    many, first = len(found), found[0]
    code, line, conflict = first.get("code", ""), None, None
    match kind:
        case "tasks":
            what = f"{first['coroutine']}{_quoted(code)}"
            said = f"{count(many, 'task')} still ran after all calls had ended ({what})."
            step, conflict, figures = AWAIT_ALL, "dropped-task", none_of(many, "task")
            line = line_of(text, _STARTS_TASK)
        case "threads":
            said = f"{count(many, 'thread')} still worked when all calls had ended, started by `{code}`."
            step = "End your threads before you return, or do without them."
            figures = none_of(many, "working thread")
        case "calls":
            said = f"{count(many, 'call')} in threads {'was' if many == 1 else 'were'} not over when all "
            said += f"calls of the file had ended, submitted by `{code}`."
            step = "Wait for the calls that you give to threads: cancelling their task does not end them."
            figures = none_of(many, "call in threads", "calls in threads")
        case "processes":
            by = f", started by `{code}`" if code else ""
            said = f"{count(many, 'child process', 'child processes')} still ran when all calls had ended{by}."
            step = "Wait for each process that you start, or terminate it and wait."
            figures = none_of(many, "process", "processes")
        case _:
            said = f"{count(many, 'aiohttp session')} stayed open when all calls had ended."
            step = "Open sessions by `async with`, or close them before you return."
            conflict, figures = "unclosed-resource", none_of(many, "open session")
            line = line_of(text, _OPENS_SESSION)
    return _reason(said, step, lab, first, line, conflict=conflict, **figures)


def reasons_for_never_awaited(
    facts: Mapping[str, Any], lab: Path, known: Sequence[Reason]
) -> list[Reason]:
    """Return a reason for each line that makes coroutines which nothing awaited, but those in `known`.

    A line that is not sure to be wrong, as what was to await it may have been cut off or refused, is wrong
    if it raised a TypeError, or if a coroutine came out as a result and no line is known.
    """
    told = {one.line for one in known if one.conflict == UNAWAITED}
    failed = {one.line for one in known if "TypeError" in one.sentence}
    reasons = []
    for one in facts.get("never_awaited", ()):
        if one["line"] in told or not (one["sure"] or one["line"] in failed or None in told):
            continue
        if one["handed"]:
            said = f"`{one['coroutine']}` is async, and what calls it takes it for a plain function: its coroutine is never awaited."
            step = "Hand over a plain function, or one that starts a task for it and keeps that."
        else:
            said = f"Line {one['line']} makes a coroutine that is never awaited, so nothing of it ran{_quoted(one['code'])}."
            step = "Await it: calling an async function only makes a coroutine."
        figures = none_of(one["number"], "coroutine never awaited", "coroutines never awaited")
        reasons.append(_reason(said, step, lab, one, conflict=UNAWAITED, **figures))
    return reasons


def _reported(found: Sequence[Mapping[str, Any]], word: str, lab: Path) -> Iterator[Reason]:
    """Judge what asyncio's exception handler was told with this word in it; at most one reason."""
    told = [
        (one["text"], Place(at.get("file") or str(lab), at["line"], at["code"]) if at else None)
        for one in found
        if word in one["text"]
        for at in [one["place"]]
    ]
    return reported(told, least="at least " * (len(found) >= REPORTED))


# The kit and the machine.


def could_not_run(outcome: Outcome, limits: Limits) -> Reason | None:
    """Return a reason if the kit or the machine ended the trial, else None."""
    end = outcome.end
    if outcome.cause == "stopped":
        return Reason("The check was stopped.", next_step="Run it again.")
    if not outcome.ready and outcome.cause == "deadline":
        said = f"The check did not get ready within {limits.start:.0f} s."
        return Reason(said, next_step="Close what keeps this machine busy and check again.")
    if not outcome.ready and outcome.cause == "died":
        last = (outcome.output.strip().splitlines() or ["nothing was said"])[-1]
        said = f"The check's process did not start: {last[:300]}"
        return Reason(said, next_step="Run loopclinic doctor.")
    if end.get("type") == "ServerError" and end["place"] is None:
        return Reason(end["message"], next_step="Check again: the kit restarts its servers.")
    if end.get("how") == "kit":
        return _kit_failed(end["message"], end["trace"])
    # No line of the learner's raised it: what drives a lab has to bear whatever the lab returns.
    if end.get("how") == "raised" and end["place"] is None and not _stopped_loop(end):
        return _kit_failed(f"{end['type']}: {end['message']}", end["trace"])
    return None


def _stopped_loop(end: dict[str, Any]) -> bool:
    """Return whether a lab took the loop down, or tasks not its own: what it raised stands anywhere."""
    return end["type"] in ("CancelledError", "KeyboardInterrupt") or (
        end["type"] == "RuntimeError" and "Event loop" in end["message"]
    )


def _kit_failed(message: str, trace: str) -> Reason:
    places = re.findall(r'File "(.*loopclinic.*)", line (\d+)', trace)
    file, line = places[-1] if places else (None, None)
    said = f"loopclinic itself failed: {message or 'no message'}"
    step = "Run loopclinic doctor; if it finds nothing wrong, report this with the place above."
    return Reason(said, file=file, line=int(line) if line else None, next_step=step)


def too_busy(outcome: Outcome, limits: Limits) -> Reason | None:
    """Return a reason if the machine was too busy for this trial to tell of the lab, else None."""
    measured, budget = f"{outcome.shortage:.0%} of the time", f"{_MOST:.0%}"
    over = outcome.cause == "deadline"
    if outcome.virtual and over:
        if outcome.used > limits.seconds:
            return None
    elif outcome.shortage <= _MOST:
        if outcome.worst_shortage <= _MOST_BRIEF:
            return None
        measured, budget = f"{outcome.worst_shortage:.0%} of {WINDOW:.0f} s", f"{_MOST_BRIEF:.0%}"
    if over and not outcome.virtual:
        stuck = outcome.stuck["seconds"] if outcome.stuck is not None else 0.0
        if outcome.wanted > _ENDLESS or stuck > limits.seconds / 2:
            return None  # more of the processor would not have ended it
    said = "Other programs used the processor for much of the time that the lab needed it, so what was "
    said += "measured may be their doing."
    step = "Close what keeps this machine busy and check again."
    return Reason(said, measured=measured, budget=budget, next_step=step)
