"""What a learner hands in: their own results as a file, and the way back from such a file.

A hand-in holds counts, moments and names of conflicts: no code, no path, no address, and no name
unless the learner typed one. Nothing is sent anywhere.
"""

import codecs
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopclinic.checks import progress
from loopclinic.checks.progress import LessonProgress
from loopclinic.conflicts import CONFLICTS

__all__ = ["HandIn", "UnreadableHandInError", "make", "read"]

_KIND = "loopclinic progress"
_SCHEMA = 1
_LARGEST = 1_000_000
_LONGEST_NAME = 60
_MOST = 1_000_000
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class UnreadableHandInError(ValueError):
    """A file is no hand-in, or a broken one; the message says which, and what to ask for."""


@dataclass(frozen=True, slots=True)
class HandIn:
    """One learner's results: `written` is ISO text in UTC, `token` the same in all their files."""

    file: str
    name: str = ""
    token: str = ""
    written: str = ""
    lessons: Mapping[str, LessonProgress] = field(default_factory=dict)


def make(name: str = "") -> dict[str, Any]:
    """Return what this learner hands in, as JSON values (schema 1).

    Raises:
        ProgressError: the progress can't be read, or the token can't be kept.
    """
    kept = progress.read()
    if not kept.token:
        with progress.change() as kept:
            kept.token = kept.token or secrets.token_hex(4)
    made: dict[str, Any] = {"kind": _KIND, "schema": _SCHEMA, "written": progress.timestamp()}
    if _tidy(name):
        made["name"] = _tidy(name)
    made["token"] = kept.token
    made["lessons"] = {
        lesson: {
            "attempts": one.attempts,
            "hints": one.hints,
            "passed_at": one.passed_at,
            "last_conflicts": one.last_conflicts,
            "last_checked": one.last_checked,
            "solution_seen": one.solution_seen,
            "met": one.met,
        }
        for lesson, one in sorted(kept.lessons.items())
    }
    return made


def read(file: Path) -> HandIn:
    """Return what `file` holds; also a plain copy of a learner's progress.json will do.

    Raises:
        UnreadableHandInError: it is something else, broken, or of a newer loopclinic.
    """
    text = _text(file)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        begun = text.lstrip().startswith("{")
        if begun and not (text.rstrip().endswith("}") and text[error.pos :].strip()):
            raise UnreadableHandInError("ends in the middle: ask for it again.") from error
        raise UnreadableHandInError("is not JSON, so no hand-in.") from error
    except (RecursionError, ValueError) as error:
        raise UnreadableHandInError("is no hand-in.") from error
    if not isinstance(data, dict) or not isinstance(data.get("lessons"), dict):
        raise UnreadableHandInError("is JSON of something else, no hand-in.")
    schema = data.get("schema")
    if isinstance(schema, int) and schema > _SCHEMA:
        raise UnreadableHandInError("is of a newer loopclinic: update this one.")
    if schema != _SCHEMA:
        raise UnreadableHandInError("is JSON of something else, no hand-in.")
    try:
        lessons = {str(name): _lesson(one) for name, one in data["lessons"].items()}
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise UnreadableHandInError(
            "was changed by hand and no longer makes sense: ask for it again."
        ) from error
    return HandIn(
        file=file.name,
        name=_tidy(data.get("name")),
        token=_tidy(data.get("token")),
        written=_tidy(data.get("written")) or _newest(lessons),
        lessons=lessons,
    )


def _text(file: Path) -> str:
    if not file.is_file():  # a pipe would keep us waiting
        kind = "a folder: move its files up" if file.is_dir() else "not an ordinary file"
        raise UnreadableHandInError(f"is {kind}.")
    try:
        if file.stat().st_size > _LARGEST:
            raise UnreadableHandInError("is too large for a hand-in.")
        raw = file.read_bytes()
    except OSError as error:
        raise UnreadableHandInError(f"can't be read ({error.strerror}).") from error
    if not raw.strip():
        raise UnreadableHandInError("is empty: ask for it again.")
    # PowerShell's `>` writes UTF-16.
    encoding = next((name for mark, name in _BOMS if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableHandInError("is not text, so no hand-in.") from error


def _lesson(data: Mapping[str, Any]) -> LessonProgress:
    return LessonProgress(
        attempts=_count(data["attempts"]),
        hints=_count(data.get("hints", 0)),
        passed_at=_moment(data.get("passed_at")),
        last_conflicts=[name for name in data.get("last_conflicts", ()) if name in CONFLICTS],
        last_checked=_moment(data.get("last_checked")),
        solution_seen=_moment(data.get("solution_seen")),
        met={name: _count(many) for name, many in data.get("met", {}).items() if name in CONFLICTS},
    )


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ValueError(value)
    return value


def _moment(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(value)
    return value


def _newest(lessons: Mapping[str, LessonProgress]) -> str:
    return max((one.last_checked or "" for one in lessons.values()), default="")


def _tidy(value: Any) -> str:
    """Return one printable line of `value`: what people type ends on a screen before the room."""
    if not isinstance(value, str):
        return ""
    printable = "".join(one if one.isprintable() else " " for one in value)
    return " ".join(printable.split())[:_LONGEST_NAME]
