"""How a trial that passed a limit, or ended the whole process, becomes a sentence."""

import linecache
import os
from pathlib import Path
from typing import Any, cast

from loopclinic.checks.hearing import Outcome
from loopclinic.checks.limits import Limits
from loopclinic.checks.lines import at_line, file_of, known, line_of, quoted, text_at
from loopclinic.probe import Frame
from loopclinic.probe.detectors import Evidence
from loopclinic.probe.diagnosis import detect
from loopclinic.verdict import Reason

__all__ = ["reason_of_limit"]

_COMPUTING = 0.5
"""Share of a trial's time from which on a lab that is stuck computes: one that waits wants a tenth of it."""
_LEAVING = r"\b_exit\s*\(|\babort\s*\(|\bkill(pg)?\s*\(|\bexec[lv]\w*\s*\("


def reason_of_limit(outcome: Outcome, lab: Path, text: str, limits: Limits, when: str) -> Reason:
    """Return the reason; `when` says at which step it was."""
    place = _where(outcome, lab, text)
    line, code = known(place)
    file, at = file_of(place, lab), at_line(line, code)
    if outcome.cause == "deadline":
        return _of_deadline(outcome, lab, limits, when, place)
    overruns = {
        "memory": (
            "used more memory than a check allows",
            _size(outcome.used),
            _size(limits.memory),
            "Keep less at a time: bound what is read, queued or started at once.",
        ),
        "output": (
            "printed without end",
            _size(outcome.used),
            _size(limits.output),
            "Take the printing out of the loop.",
        ),
        "processes": (
            "started processes without end",
            f"{outcome.used:.0f} processes",
            f"{limits.processes} processes",
            "Start a fixed number of processes and wait for them.",
        ),
    }
    if outcome.cause in overruns:
        what, measured, budget, step = overruns[outcome.cause]
        return Reason(
            f"The file {what} {when}{at}.",
            measured=measured,
            budget=budget,
            file=file,
            line=line,
            next_step=step,
        )
    line = line_of(text, _LEAVING)
    code = text_at(text, line)
    status = outcome.exit_status
    how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
    if outcome.stack:
        place = _innermost(outcome, lab, text)
        line, code = known(place)
    return Reason(
        f"The file ended the whole process ({how}) {when}{at_line(line, code)}.",
        file=file_of(place, lab) if outcome.stack else str(lab),
        line=line,
        next_step="Nothing in a lab may end the process: return or raise instead.",
    )


def _of_deadline(
    outcome: Outcome, lab: Path, limits: Limits, when: str, place: dict[str, Any] | None
) -> Reason:
    line, code = known(place)
    file = file_of(place, lab)
    budget = f"{limits.seconds:.0f} s"
    stuck = outcome.stuck
    if stuck is not None and line is not None:
        return Reason(
            f"The file was stuck at line {line} for {stuck['seconds']:.0f} s{quoted(code)} {when}.",
            conflict=_conflict(outcome, file, line, code),
            measured=f"{stuck['seconds']:.0f} s",
            budget=budget,
            file=file,
            line=line,
            next_step="Nothing else could run meanwhile: let this end, or await what it waits for.",
        )
    if outcome.waits:
        first = outcome.waits[0]
        return Reason(
            f"The check waited in vain {when}: line {first['line']} awaits what never comes"
            f"{quoted(first['code'])}.",
            measured=f"{outcome.used:.0f} s",
            budget=budget,
            file=file_of(first, lab),
            line=first["line"],
            next_step="See that what it awaits is always set, or give the wait a timeout.",
        )
    return Reason(
        f"The check was not over after {outcome.used:.0f} s: it hung {when}.",
        measured=f"{outcome.used:.0f} s",
        budget=budget,
        file=file,
        line=line,
        next_step="See that every call ends, and soon: the contract names the deadline.",
    )


def _conflict(outcome: Outcome, file: str, line: int, code: str) -> str | None:
    """Return the conflict that the line at which the loop was stuck looks like, None before it ran."""
    if not outcome.step:
        return None
    frame = Frame(file, line, "", code)
    detector = detect(Evidence((frame,), 0, computes=outcome.wanted > _COMPUTING, gil_held=False))
    return detector.conflict if detector else None


def _where(outcome: Outcome, lab: Path, text: str) -> dict[str, Any] | None:
    """Return where it stood: of the last stack, else of the last report, else of a waiting task."""
    place = _innermost(outcome, lab, text)
    if place is not None:
        return place
    if outcome.stuck is not None and outcome.stuck["place"]:
        return cast("dict[str, Any]", outcome.stuck["place"])
    return outcome.waits[0] if outcome.waits else None


def _innermost(outcome: Outcome, lab: Path, text: str) -> dict[str, Any] | None:
    # The stack dump holds names in ASCII with escapes.
    escaped = str(lab).encode("ascii", "backslashreplace").decode()
    for file, line in outcome.stack:
        if file in (str(lab), escaped):
            return {"file": str(lab), "line": line, "code": text_at(text, line)}
        if file.startswith((f"{lab}{os.sep}", f"{escaped}{os.sep}")):
            return {"file": file, "line": line, "code": linecache.getline(file, line).strip()}
    return None


def _size(amount: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if amount >= scale:
            return f"{amount / scale:.1f} {unit}"
    return f"{amount / 1e3:.0f} kB"
