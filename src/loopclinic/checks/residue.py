"""Reasons for what a lab left behind, where its lesson has nothing of its own to say about it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loopclinic.checks.channel import REPORTED
from loopclinic.checks.lines import at_line, file_of, known, line_of
from loopclinic.lessons import Trial
from loopclinic.lessons.leftovers import leftovers
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["reasons_for_residue"]

_STARTS_TASK = r"create_task\s*\(|ensure_future\s*\("


def reasons_for_residue(
    trial: Trial, text: str, judged: Collection[str], *, promise: int | None = None
) -> list[Reason]:
    """Return a reason for each kind of leftover that is not in `judged`.

    `promise` is the number of the contract's promise that whatever still runs or is open breaks.

    Kinds: `tasks`, `threads`, `processes`, `sessions`, `stdout`, `file`.
    """
    left = trial.facts.get("leftovers", {})
    kept = trial.facts.get("belongings", {})
    reasons = [] if "tasks" in judged else list(leftovers(trial.facts))
    reasons = [
        one if one.line else replace(one, line=line_of(text, _STARTS_TASK)) for one in reasons
    ]
    reasons += [
        reason
        for kind, make in (
            ("threads", _threads),
            ("processes", _processes),
            ("sessions", _sessions),
        )
        if kind not in judged and left.get(kind)
        for reason in [make(left[kind], trial.lab, text)]
    ]
    errors = trial.facts.get("loop_errors", ())
    if not left.get("sessions"):
        reasons += _unclosed(errors, trial.lab, text)
    reasons = [replace(reason, promise=promise) for reason in reasons]
    # Tasks that went on until the check closed their session have nobody who could look.
    if all(reason.conflict != "dropped-task" for reason in reasons):
        reasons += _unseen(errors, trial.lab)
    if "stdout" not in judged and not kept.get("stdout_open", True):
        reasons.append(
            Reason(
                "The file closes the process' standard output.",
                file=str(trial.lab),
                line=line_of(text, r"stdout\s*\.\s*close|\bclose(range)?\s*\("),
                next_step="Leave it open: everything in the process prints there.",
            )
        )
    if "file" not in judged and not kept.get("file_kept", True):
        reasons.append(
            Reason(
                "The file deletes itself (here a copy; yours is still there).",
                file=str(trial.lab),
                line=(kept.get("removed_at") or {}).get("line"),
                next_step="Take the deletion out.",
            )
        )
    return reasons


def _unclosed(found: Sequence[Mapping[str, Any]], lab: Path, text: str) -> Iterator[Reason]:
    """Judge sessions and connections that asyncio reported as thrown away open; at most one reason."""
    unclosed = [one["text"] for one in found if one["text"].startswith("Unclosed ")]
    if unclosed:
        least = "at least " * (len(found) >= REPORTED)
        yield Reason(
            f"Objects of aiohttp were thrown away without being closed, {least}{len(unclosed)} of them: "
            f'asyncio was told "{unclosed[0]}".',
            conflict="unclosed-resource",
            measured=f"{least}{len(unclosed)} unclosed",
            budget="0 unclosed",
            file=str(lab),
            line=line_of(text, r"\bClientSession\s*\("),
            next_step="Open sessions by `async with`, or close them before you return.",
        )


def _unseen(found: Sequence[Mapping[str, Any]], lab: Path) -> Iterator[Reason]:
    """Judge errors of tasks and futures that nobody looked at; at most one reason."""
    unseen = [one for one in found if "never retrieved" in one["text"]]
    if unseen:
        place = unseen[0]["place"]
        line, code = known(place)
        least = "at least " * (len(found) >= REPORTED)
        yield Reason(
            f"Errors of tasks that nobody awaited went unseen, {least}{len(unseen)} of them"
            f"{at_line(line, code)}: {unseen[0]['text']}",
            conflict="dropped-task",
            measured=f"{least}{count(len(unseen), 'unseen error')}",
            budget="0 unseen errors",
            file=file_of(place, lab),
            line=line,
            next_step="Await every task that you start, and handle what it raises.",
        )


def _threads(found: list[dict[str, Any]], lab: Path, text: str) -> Reason:
    del text
    first = found[0]
    return Reason(
        f"{count(len(found), 'thread')} still worked when all calls had returned, "
        f"started by `{first['code']}`.",
        measured=count(len(found), "working thread"),
        budget="0 working threads",
        file=str(lab),
        line=first["line"],
        next_step="End your threads before you return, or do without them.",
    )


def _processes(found: list[dict[str, Any]], lab: Path, text: str) -> Reason:
    del text
    first = found[0]
    code = f", started by `{first['code']}`" if first.get("code") else ""
    return Reason(
        f"{count(len(found), 'child process', 'child processes')} still ran when all calls had "
        f"returned{code}.",
        measured=count(len(found), "process", "processes"),
        budget="0 processes",
        file=str(lab),
        line=first.get("line"),
        next_step="Wait for each process that you start, or terminate it and wait.",
    )


def _sessions(found: list[dict[str, Any]], lab: Path, text: str) -> Reason:
    return Reason(
        f"{count(len(found), 'aiohttp session')} stayed open when all calls had returned.",
        conflict="unclosed-resource",
        measured=count(len(found), "open session"),
        budget="0 open sessions",
        file=str(lab),
        line=line_of(text, r"\bClientSession\s*\("),
        next_step="Open sessions by `async with`, or close them before you return.",
    )
