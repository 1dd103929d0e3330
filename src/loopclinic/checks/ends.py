"""How a trial that did not come to its end becomes a sentence."""

import linecache
import os
import re
from pathlib import Path
from typing import Any, cast

from loopclinic.checks.limits import Limits
from loopclinic.checks.supervisor import Outcome
from loopclinic.verdict import Reason

__all__ = ["could_not_run", "doubt", "line_of", "reason_of_end"]

_SHORT = 0.3
"""Share of the trial's time that others took, from which on what was measured may be their doing."""
_RESTLESS = 0.9
"""Share of its time for which only a lab that computes without end wants the processor."""


def could_not_run(outcome: Outcome, limits: Limits) -> Reason | None:
    """Return why the kit or the machine is to blame for the end, or None if it is not."""
    end = outcome.end
    if outcome.cause == "stopped":
        return Reason("The check was stopped.", next_step="Run it again.")
    if not outcome.ready and outcome.cause in ("died", "deadline"):
        if outcome.cause == "deadline":
            sentence = f"The check did not get ready within {limits.start:.0f} s."
            step = "Close what keeps this machine busy and check again."
        else:
            last = (outcome.output.strip().splitlines() or ["nothing was said"])[-1]
            sentence = f"The check's process did not start: {last[:300]}"
            step = "Run loopclinic doctor."
        return Reason(sentence, next_step=step)
    if end.get("type") == "ServerError" and end["place"] is None:
        return Reason(end["message"], next_step="Check again: the kit starts its servers anew.")
    if end.get("how") == "kit":
        return _kit_failed(end["message"], end["trace"])
    if (
        end.get("how") == "raised"
        and end["place"] is None
        and end["raised_in"] == "kit"
        and not _stopped_loop(end)
    ):
        return _kit_failed(f"{end['type']}: {end['message']}", end["trace"])
    return None


def doubt(outcome: Outcome, limits: Limits) -> Reason | None:
    """Return why times and deadlines of this trial tell little of the lab, or None if they do."""
    if outcome.shortage <= _SHORT:
        return None
    if outcome.cause == "deadline":
        stuck = outcome.stuck["seconds"] if outcome.stuck is not None else 0.0
        if outcome.wanted > _RESTLESS or stuck > limits.seconds / 2:
            return None  # more of the processor would not have ended it
    return Reason(
        "Other programs had the processor for much of the time that the lab wanted it, and what "
        "was seen may be their doing.",
        measured=f"{outcome.shortage:.0%} of the time",
        budget=f"{_SHORT:.0%}",
        next_step="Close what keeps this machine busy and check again.",
    )


def _kit_failed(message: str, trace: str) -> Reason:
    places = re.findall(r'File "(.*loopclinic.*)", line (\d+)', trace)
    file, line = places[-1] if places else (None, None)
    return Reason(
        f"loopclinic itself failed: {message or 'no message'}",
        file=file,
        line=int(line) if line else None,
        next_step="Run loopclinic doctor; if it is content, report this with the place above.",
    )


def reason_of_end(outcome: Outcome, lab: Path, text: str, limits: Limits) -> Reason | None:
    """Return the reason when the learner's file ended the trial, or None if it came to its end.

    `text` is the learner's file.
    """
    end = outcome.end
    when = f'in the step "{outcome.step}"' if outcome.step else "while it was imported"
    if outcome.cause != "ended":
        return _of_limit(outcome, lab, text, limits, when)
    match end["how"]:
        case "done":
            return None
        case "syntax":
            return _of_syntax(end, lab)
        case "contract":
            return _of_contract(end["broken"], lab)
        case "replaced":
            names = ", ".join(end["names"])
            return Reason(
                f"The file replaces {names}, which belongs to everything in the process.",
                # As nest_asyncio does, so that a loop can be run inside the running one.
                conflict="nested-loop" if "asyncio.run" in end["names"] else None,
                file=str(lab),
                line=end["line"],
                next_step="Leave it as it is and mend your own code instead.",
            )
        case "exit":
            line, code = _place(end["place"])
            value = "" if end["code"] is None else f" (status {end['code']})"
            return Reason(
                f"The file left the process by {end['type']}{value} {when}{_at(line, code)}.",
                file=_file(end["place"], lab),
                line=line,
                next_step="Raise an ordinary exception, or return: a service must not exit on one call.",
            )
        case _:
            return _of_error(end, lab, when)


def _of_syntax(end: dict[str, Any], lab: Path) -> Reason:
    text = (end["text"] or "").rstrip()
    pointer = ""
    if text.strip():
        indent = len(text) - len(text.lstrip())
        offset = max((end["offset"] or 1) - 1 - indent, 0)
        pointer = f"\n{text.lstrip()}\n{' ' * min(offset, len(text))}^"
    return Reason(
        f"Python can't read line {end['line']}: {end['message']}.{pointer}",
        file=end["file"] if lab.is_dir() else str(lab),
        line=end["line"],
        next_step="Mend this line, or the one above it, and save.",
    )


def _of_contract(broken: dict[str, Any], lab: Path) -> Reason:
    name, line, found = broken["name"], broken["line"], broken["found"]
    match broken["how"]:
        case "missing":
            meant = f" The closest name in it is {found}." if found else ""
            return Reason(
                f"The file defines no {name}.{meant}",
                file=str(lab),
                line=line,
                next_step=f"Call it {name}: the contract at the top of the file names it.",
            )
        case "not-callable":
            return Reason(
                f"{name} is of type {found} and can't be called.",
                file=str(lab),
                line=line,
                next_step=f"Define {name} as the contract at the top of the file says.",
            )
        case _:
            return Reason(
                f"{found} can't be called like {broken['wanted']}.",
                measured=found,
                budget=broken["wanted"],
                file=str(lab),
                line=line,
                next_step="Give it the parameters of the contract; more, with defaults, are fine.",
            )


def _of_error(end: dict[str, Any], lab: Path, when: str) -> Reason:
    line, code = _place(end["place"])
    said = f"{end['type']}: {end['message']}" if end["message"] else end["type"]
    if end["phase"] == "import":
        return Reason(
            f"Importing the file raised {said}{_at(line, code)}.",
            file=_file(end["place"], lab),
            line=line,
            next_step=_import_step(end),
        )
    if line is not None:
        sentence = f"The file raised {said} {when}{_at(line, code)}."
        following = "Raise only what the contract at the top of the file allows."
    elif _stopped_loop(end):
        sentence = f"The file stopped the event loop or canceled tasks not its own {when}."
        following = "End only the tasks that you started, and leave the loop alone."
    else:
        sentence = f"What the file returned could not be used {when}: {said}."
        following = "Return what the contract at the top of the file says."
    return Reason(sentence, file=_file(end["place"], lab), line=line, next_step=following)


def _import_step(end: dict[str, Any]) -> str:
    if end["type"] == "ModuleNotFoundError":
        return "Install what it names into the kit's environment, or do without it."
    if "running event loop" in end["message"] or "loopclinic.check" in end["message"]:
        return "Put what runs the file under if __name__ == '__main__':."
    return "A file that is imported should only define things: mend this line."


def _stopped_loop(end: dict[str, Any]) -> bool:
    return end["type"] in ("CancelledError", "KeyboardInterrupt") or (
        end["type"] == "RuntimeError" and "Event loop" in end["message"]
    )


def _of_limit(outcome: Outcome, lab: Path, text: str, limits: Limits, when: str) -> Reason:
    place = _where(outcome, lab, text)
    line, code = _place(place)
    file, at = _file(place, lab), _at(line, code)
    match outcome.cause:
        case "deadline":
            return _of_deadline(outcome, lab, limits, when, place)
        case "memory":
            return Reason(
                f"The file used more memory than a check allows {when}{at}.",
                measured=_size(outcome.used),
                budget=_size(limits.memory),
                file=file,
                line=line,
                next_step="Keep less at a time: bound what is read, queued or started at once.",
            )
        case "output":
            return Reason(
                f"The file printed without end {when}{at}.",
                measured=_size(outcome.used),
                budget=_size(limits.output),
                file=file,
                line=line,
                next_step="Take the printing out of the loop.",
            )
        case "processes":
            return Reason(
                f"The file started processes without end {when}{at}.",
                measured=f"{outcome.used:.0f} processes",
                budget=f"{limits.processes} processes",
                file=file,
                line=line,
                next_step="Start a fixed number of processes and wait for them.",
            )
    line = _search(text, _LEAVING)
    code = _line(text, line)
    status = outcome.exit_status
    how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
    if outcome.stack:
        place = _innermost(outcome, lab, text)
        line, code = _place(place)
    return Reason(
        f"The file ended the whole process ({how}) {when}{_at(line, code)}.",
        file=_file(place, lab) if outcome.stack else str(lab),
        line=line,
        next_step="Nothing in a lab may end the process: return or raise instead.",
    )


def _of_deadline(
    outcome: Outcome, lab: Path, limits: Limits, when: str, place: dict[str, Any] | None
) -> Reason:
    line, code = _place(place)
    file = _file(place, lab)
    budget = f"{limits.seconds:.0f} s"
    stuck = outcome.stuck
    if stuck is not None and line is not None:
        return Reason(
            f"The file was stuck at line {line} for {stuck['seconds']:.0f} s{_quoted(code)}"
            f" {when}.",
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
            f"{_quoted(first['code'])}.",
            measured=f"{outcome.used:.0f} s",
            budget=budget,
            file=_file(first, lab),
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
            return {"file": str(lab), "line": line, "code": _line(text, line)}
        if file.startswith((f"{lab}{os.sep}", f"{escaped}{os.sep}")):
            return {"file": file, "line": line, "code": linecache.getline(file, line).strip()}
    return None


_LEAVING = re.compile(r"\b_exit\s*\(|\babort\s*\(|\bkill(pg)?\s*\(|\bexec[lv]\w*\s*\(")


def _search(text: str, pattern: re.Pattern[str]) -> int | None:
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.search(line.partition("#")[0]):
            return number
    return None


def line_of(text: str, pattern: str) -> int | None:
    """Return the first line of `text` that matches, comments left out, or None."""
    return _search(text, re.compile(pattern))


def _line(text: str, line: int | None) -> str:
    lines = text.splitlines()
    return lines[line - 1].strip() if line and line <= len(lines) else ""


def _place(place: dict[str, Any] | None) -> tuple[int | None, str]:
    return (place["line"], place["code"]) if place else (None, "")


def _file(place: dict[str, Any] | None, lab: Path) -> str:
    """Return the file of a place: of a folder, the one that holds the line."""
    return str(place["file"]) if place and place.get("file") else str(lab)


def _at(line: int | None, code: str) -> str:
    return "" if line is None else f" at line {line}{_quoted(code)}"


def _quoted(code: str) -> str:
    return f": `{code}`" if code else ""


def _size(amount: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if amount >= scale:
            return f"{amount / scale:.1f} {unit}"
    return f"{amount / 1e3:.0f} kB"
