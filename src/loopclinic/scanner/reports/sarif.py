"""Findings as SARIF 2.1.0, for code review tools.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

import os
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import loopclinic
from loopclinic.conflicts import CONFLICTS, TREATMENTS
from loopclinic.scanner.baseline import mark
from loopclinic.scanner.finding import Finding, Frame
from loopclinic.scanner.scan_report import Report
from loopclinic.scanner.suggested_edits import Patch, patches

_LEVELS = {"certain": "error", "likely": "warning", "hint": "note"}
_RANKS = {"light": 20.0, "medium": 50.0, "heavy": 90.0}
_ASYNCIO = "https://docs.python.org/3/library/asyncio"
_HELP = {
    "blocking-": "-dev.html#running-blocking-code",
    "cpu-bound": "-dev.html#running-blocking-code",
    "thread-lock-in-async": "-sync.html",
    "nested-loop": "-runner.html#asyncio.run",
    "loop-per-call": "-runner.html#asyncio.Runner",
    "get-event-loop": "-eventloop.html#asyncio.get_running_loop",
    "loop-bound-primitive": "-sync.html",
    "missing-timeout": "-task.html#timeouts",
    "swallowed-cancellation": "-task.html#task-cancellation",
    "unbounded-gather": "-sync.html#asyncio.Semaphore",
    "sequential-awaits": "-task.html#running-tasks-concurrently",
    "dropped-gather-results": "-task.html#asyncio.gather",
    "lazy-init-race": "-sync.html#asyncio.Lock",
    "dropped-task": "-task.html#asyncio.create_task",
    "unawaited-coroutine": "-dev.html#detect-never-awaited-coroutines",
}
"""Where Python's own documentation treats a kind: the first whose name begins so."""


def sarif(report: Report) -> dict[str, Any]:
    """Return a SARIF log of one run."""
    kinds = [kind for kind, _ in report.groups]
    marks: Counter[str] = Counter()
    root = Path(report.root)
    folder = root if root.is_dir() else root.parent
    edits = patches(report, report.findings)
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "loopclinic",
                        "semanticVersion": loopclinic.__version__,
                        "rules": [_rule(one) for one in kinds],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {"ROOT": {"uri": folder.as_uri() + "/"}},
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            {
                                "level": "warning",
                                "message": {"text": f"Skipped: {one.reason}"},
                                "locations": [_location(one.file, one.line or 1)],
                            }
                            for one in report.skipped
                        ],
                    }
                ],
                "results": [_result(one, kinds, marks, edits.get(one)) for one in report.findings],
            }
        ],
    }


def _rule(kind: str) -> dict[str, Any]:
    page = next((rest for start, rest in _HELP.items() if kind.startswith(start)), ".html")
    lesson, title = TREATMENTS.get(kind, ("", ""))
    text = CONFLICTS[kind].sentence + (f' Lesson {lesson}: "{title}".' if lesson else "")
    return {
        "id": kind,
        "shortDescription": {"text": CONFLICTS[kind].sentence},
        "help": {"text": text},
        "helpUri": _ASYNCIO + page,
    }


def _result(
    one: Finding, kinds: list[str], marks: Counter[str], edit: Patch | None
) -> dict[str, Any]:
    name = mark(one)
    marks[name] += 1
    found: dict[str, Any] = {
        "ruleId": one.kind,
        "ruleIndex": kinds.index(one.kind),
        "level": "note" if one.weight == "light" else _LEVELS[one.confidence],
        "rank": _RANKS[one.weight],
        "partialFingerprints": {
            "loopclinic/v1": sha256(os.fsencode(f"{name} {marks[name]}")).hexdigest()[:32]
        },
        "message": {"text": one.message},
        "locations": [_location(one.file, one.line, one.column)],
        "properties": {
            "confidence": one.confidence,
            "weight": one.weight,
            "calledBy": one.called_by,
            "leaf": "{}:{} {}".format(*one.leaf),
            "lesson": one.lesson,
        },
    }
    if one.through_calls:
        steps = [{"location": _step(frame)} for frame in one.chain]
        found["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    if edit is not None:
        made = [_replacement(edit.line, edit.start, edit.end, edit.text)]
        if edit.imports is not None:
            made.append(_replacement(edit.imports + 1, 0, 0, "import asyncio\n"))
        change = {"artifactLocation": _artifact(one.file), "replacements": made}
        found["fixes"] = [{"description": {"text": edit.text}, "artifactChanges": [change]}]
    return found


def _replacement(line: int, start: int, end: int, text: str) -> dict[str, Any]:
    region = {"startLine": line, "startColumn": start + 1, "endLine": line, "endColumn": end + 1}
    return {"deletedRegion": region, "insertedContent": {"text": text}}


def _artifact(file: str) -> dict[str, str]:
    return {"uri": quote(os.fsencode(file)), "uriBaseId": "ROOT"}


def _step(frame: Frame) -> dict[str, Any]:
    text = f"{frame.function} calls {frame.call}" if frame.call else frame.function
    return {**_location(frame.file, frame.line), "message": {"text": text}}


def _location(file: str, line: int, column: int | None = None) -> dict[str, Any]:
    region = {"startLine": line}
    if column is not None:
        region["startColumn"] = column
    return {
        "physicalLocation": {
            "artifactLocation": _artifact(file),
            "region": region,
        }
    }
