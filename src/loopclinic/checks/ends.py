"""How a trial that the learner's file brought to an early end becomes a sentence."""

from pathlib import Path
from typing import Any

from loopclinic.checks.hearing import Outcome
from loopclinic.checks.limits import Limits
from loopclinic.checks.lines import at_line, file_of, known
from loopclinic.checks.overruns import reason_of_limit
from loopclinic.verdict import Reason

__all__ = ["reason_of_end", "stopped_loop"]


def reason_of_end(outcome: Outcome, lab: Path, text: str, limits: Limits) -> Reason | None:
    """Return the reason when the learner's file ended the trial, or None if it came to its end.

    `text` is the learner's file.
    """
    end = outcome.end
    when = f'in the step "{outcome.step}"' if outcome.step else "while it was imported"
    if outcome.cause != "ended":
        return reason_of_limit(outcome, lab, text, limits, when)
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
                # As nest_asyncio and nest_asyncio2 do, so that a loop can be run inside the running one.
                conflict="nested-loop" if "asyncio.run" in end["names"] else None,
                file=str(lab),
                line=end["line"],
                next_step="Leave it as it is and mend your own code instead.",
            )
        case "exit":
            line, code = known(end["place"])
            value = "" if end["code"] is None else f" (status {end['code']})"
            return Reason(
                f"The file left the process by {end['type']}{value} {when}{at_line(line, code)}.",
                file=file_of(end["place"], lab),
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
    line, code = known(end["place"])
    said = f"{end['type']}: {end['message']}" if end["message"] else end["type"]
    if end["phase"] == "import":
        return Reason(
            f"Importing the file raised {said}{at_line(line, code)}.",
            file=file_of(end["place"], lab),
            line=line,
            next_step=_import_step(end),
        )
    if line is not None:
        sentence = f"The file raised {said} {when}{at_line(line, code)}."
        following = "Raise only what the contract at the top of the file allows."
    elif stopped_loop(end):
        sentence = f"The file stopped the event loop or canceled tasks not its own {when}."
        following = "End only the tasks that you started, and leave the loop alone."
    else:
        sentence = f"What the file returned could not be used {when}: {said}."
        following = "Return what the contract at the top of the file says."
    return Reason(sentence, file=file_of(end["place"], lab), line=line, next_step=following)


def _import_step(end: dict[str, Any]) -> str:
    if end["type"] == "ModuleNotFoundError":
        return "Install what it names into the kit's environment, or do without it."
    if "running event loop" in end["message"] or "loopclinic.check" in end["message"]:
        return "Put what runs the file under if __name__ == '__main__':."
    return "A file that is imported should only define things: mend this line."


def stopped_loop(end: dict[str, Any]) -> bool:
    """Whether a lab took the loop down, or tasks not its own: what it raised stands anywhere."""
    return end["type"] in ("CancelledError", "KeyboardInterrupt") or (
        end["type"] == "RuntimeError" and "Event loop" in end["message"]
    )
