"""Findings as SARIF 2.1.0, which code review tools show at their lines.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import loopclinic
from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.findings import Finding, Frame
from loopclinic.scanner.report import Report

__all__ = ["sarif"]

_LEVELS = {"certain": "error", "likely": "warning", "hint": "note"}


def sarif(report: Report) -> dict[str, Any]:
    """Return a SARIF log of one run."""
    kinds = [kind for kind, _ in report.groups]
    root = Path(report.root)
    folder = root if root.is_dir() else root.parent
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "loopclinic",
                        "semanticVersion": loopclinic.__version__,
                        "rules": [
                            {
                                "id": kind,
                                "shortDescription": {"text": CONFLICTS[kind].sentence},
                            }
                            for kind in kinds
                        ],
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
                "results": [_result(one, kinds) for one in report.findings],
            }
        ],
    }


def _result(one: Finding, kinds: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ruleId": one.kind,
        "ruleIndex": kinds.index(one.kind),
        "level": _LEVELS[one.confidence],
        "message": {"text": one.message},
        "locations": [_location(one.file, one.line, one.column)],
        "properties": {"confidence": one.confidence, "lesson": one.lesson},
    }
    if one.through_calls:
        steps = [{"location": _step(frame)} for frame in one.chain]
        found["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    return found


def _step(frame: Frame) -> dict[str, Any]:
    text = f"{frame.function} calls {frame.call}" if frame.call else frame.function
    return {**_location(frame.file, frame.line), "message": {"text": text}}


def _location(file: str, line: int, column: int | None = None) -> dict[str, Any]:
    region = {"startLine": line}
    if column is not None:
        region["startColumn"] = column
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(os.fsencode(file)), "uriBaseId": "ROOT"},
            "region": region,
        }
    }
