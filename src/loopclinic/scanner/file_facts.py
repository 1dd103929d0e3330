"""Reads one file and returns its facts, or why it can't be read."""

import codecs
import io
import sys
import tokenize
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from loopclinic.scanner.facts.fact_records import Summary
from loopclinic.scanner.facts.file_pass import facts_of

_LARGEST = 32 * 1024 * 1024
_LIVE = (
    *(b"async", b"await", b"run_until_complete", b"tornado", b"socketio", b"sanic", b"nicegui"),
    *(b"include_router", b"register_blueprint", b"add_subapp"),
)
"""Words without which a file has nothing to do with event loops, nor with the routes of one that has."""
_VERSION = f"Python {sys.version_info.major}.{sys.version_info.minor}"


class Reading(NamedTuple):
    """The facts of one file as bytes, or why it was skipped and at which line."""

    dump: bytes = b""
    summary: Summary | None = None
    live: bool = False
    reason: str = ""
    line: int | None = None

    @property
    def plain(self) -> tuple[Any, ...]:
        """The same for `marshal`; `of` rebuilds it."""
        return (self.dump, self.summary and tuple(self.summary), *self[2:])

    @classmethod
    def of(cls, plain: tuple[Any, ...]) -> "Reading":
        """Rebuild a reading from its plain form."""
        dump, summary, *rest = plain
        return cls(dump, summary and Summary(*summary), *rest)


class _UnreadableError(ValueError):
    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def read(path: Path) -> Reading:
    """Read one file."""
    try:
        return reading_of(path.read_bytes())
    except OSError as error:
        return Reading(reason=f"can't be read: {error.strerror or error}")


def reading_of(data: bytes) -> Reading:
    """Read the bytes of one file."""
    try:
        source = decoded(data)
    except _UnreadableError as error:
        return Reading(reason=str(error), line=error.line)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes are none of ours
            facts = facts_of(source)
    except SyntaxError as error:
        return Reading(reason=_syntax(error), line=error.lineno)
    except ValueError as error:
        return Reading(reason=f"not Python source: {error}")
    except (RecursionError, MemoryError):
        return Reading(reason=f"nested deeper than {_VERSION} can read")
    try:
        dump = facts.dump()
    except ValueError:  # newer interpreters parse deeper chains than can be written down
        return Reading(reason=f"nested deeper than {_VERSION} can keep")
    live = any(word in data for word in _LIVE)
    return Reading(dump, facts.summary, live)


def _syntax(error: SyntaxError) -> str:
    message = error.msg or "invalid syntax"
    if "nested" in message or "levels of indentation" in message or "too complex" in message:
        return f"nested deeper than {_VERSION} can read: {message}"
    return f"syntax error for {_VERSION}: {message}"


def decoded(data: bytes) -> str:
    """Return the source as Python would decode it.

    Raises:
        ValueError: it can't; the message says why.
    """
    if len(data) > _LARGEST:
        raise _UnreadableError(f"larger than {_LARGEST // 1024 // 1024} MB")
    for mark in (
        codecs.BOM_UTF32_LE,
        codecs.BOM_UTF32_BE,
        codecs.BOM_UTF16_LE,
        codecs.BOM_UTF16_BE,
    ):
        if data.startswith(mark):
            name = f"UTF-{8 * len(mark)}"
            raise _UnreadableError(f"{name}, which Python does not read: save it as UTF-8", 1)
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise _UnreadableError("null bytes: a binary file, or damaged", line)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _misread(data, error, "which it claims to be") from error
    except Exception as error:  # a codec may fail in ways of its own
        message = getattr(error, "msg", None) or str(error)
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as cause:
            if "missing" in message:
                raise _misread(data, cause, "and it names no other encoding") from cause
        raise _UnreadableError(f"encoding: {message}", 1) from error
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removeprefix("\ufeff")


def _misread(data: bytes, error: UnicodeDecodeError, why: str) -> _UnreadableError:
    line = data.count(b"\n", 0, error.start) + 1
    byte = data[error.start] if error.start < len(data) else 0
    return _UnreadableError(f"not {error.encoding}, {why}: byte 0x{byte:02x}", line)
