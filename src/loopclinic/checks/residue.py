"""Reasons for what a lab left behind, where its lesson has nothing of its own to say about it."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from loopclinic.checks.lines import line_of
from loopclinic.lessons import Trial
from loopclinic.verdict import Reason

__all__ = ["reasons_for_residue"]


def reasons_for_residue(trial: Trial, text: str, judged: Collection[str]) -> list[Reason]:
    """Return a reason for each kind of leftover that is not in `judged`.

    Kinds: `tasks`, `threads`, `processes`, `sessions`, `stdout`, `file`.
    """
    left = trial.facts.get("leftovers", {})
    kept = trial.facts.get("belongings", {})
    reasons = [
        reason
        for kind, make in (
            ("tasks", _tasks),
            ("threads", _threads),
            ("processes", _processes),
            ("sessions", _sessions),
        )
        if kind not in judged and left.get(kind)
        for reason in [make(left[kind], trial.lab, text)]
    ]
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


def _tasks(found: list[dict[str, Any]], lab: Path, text: str) -> Reason:
    first = found[0]
    code = f": `{first['code']}`" if first.get("code") else ""
    return Reason(
        f"{_count(found, 'task')} still ran when all calls had returned "
        f"({first['coroutine']}{code}).",
        conflict="dropped-task",
        measured=_count(found, "task"),
        budget="0 tasks",
        file=str(lab),
        line=first.get("line") or line_of(text, r"create_task\s*\(|ensure_future\s*\("),
        next_step="Await every task that you start, or cancel it and await that.",
    )


def _threads(found: list[dict[str, Any]], lab: Path, text: str) -> Reason:
    del text
    first = found[0]
    return Reason(
        f"{_count(found, 'thread')} still worked when all calls had returned, "
        f"started by `{first['code']}`.",
        measured=_count(found, "working thread"),
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
        f"{_count(found, 'child process', 'child processes')} still ran when all calls had "
        f"returned{code}.",
        measured=_count(found, "process", "processes"),
        budget="0 processes",
        file=str(lab),
        line=first.get("line"),
        next_step="Wait for each process that you start, or terminate it and wait.",
    )


def _sessions(found: list[dict[str, Any]], lab: Path, text: str) -> Reason:
    return Reason(
        f"{_count(found, 'aiohttp session')} stayed open when all calls had returned.",
        conflict="unclosed-resource",
        measured=_count(found, "open session"),
        budget="0 open sessions",
        file=str(lab),
        line=line_of(text, r"\bClientSession\s*\("),
        next_step="Open sessions by `async with`, or close them before you return.",
    )


def _count(found: list[dict[str, Any]], one: str, many: str | None = None) -> str:
    return f"{len(found)} {one if len(found) == 1 else many or one + 's'}"
