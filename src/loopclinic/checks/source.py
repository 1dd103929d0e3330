"""Reads a learner's file as a whole: waits out a save in progress, refuses what is no Python text."""

import io
import os
import shutil
import time
import tokenize
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LEFT_OUT", "Unreadable", "python_files", "read_settled"]

LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")
"""What is neither the learner's work nor the lab's, for `shutil.copytree`."""

_QUIET = 0.15
_PATIENCE = 1.5
_LARGEST = 1 << 20
_MOST = 500


@dataclass(frozen=True, slots=True)
class Unreadable(Exception):  # noqa: N818 - a state of a file, caught where it is read
    """A file that can't be judged: a sentence, a line, what to do."""

    sentence: str
    line: int | None
    next_step: str
    path: Path | None = None


def python_files(folder: Path) -> list[Path]:
    """Return the folder's Python files, hidden ones and caches left out, in order.

    Raises:
        Unreadable: there are more than belong to a lab.
    """
    found: list[Path] = []
    for place, inside, names in os.walk(folder):
        hidden = LEFT_OUT(place, [*inside, *names])
        inside[:] = sorted(set(inside) - hidden)
        found += [Path(place, one) for one in sorted(set(names) - hidden) if one.endswith(".py")]
        if len(found) > _MOST:
            raise Unreadable(
                f"{folder.name} holds more than {_MOST} Python files.",
                None,
                "Keep environments and other projects out of the lab's folder.",
            )
    return found


def read_settled(path: Path, *, may_be_empty: bool = False) -> bytes:
    """Return the bytes of `path` once size and time of change have been still for a moment.

    Raises:
        Unreadable: it is missing, empty, too large, or not text in the encoding it claims.
    """
    data = _settle(path, may_be_empty=may_be_empty)
    if may_be_empty and not data.strip():
        return data
    if not data.strip():
        raise Unreadable(
            f"{path.name} is empty.", 1, "Save it again, or run loopclinic reset to start over."
        )
    if len(data) > _LARGEST:
        raise Unreadable(
            f"{path.name} is larger than 1 MB.", None, "Keep data out of the lab file."
        )
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise Unreadable(
            f"{path.name} holds a null byte, so it is no Python text.",
            line,
            "Save it as UTF-8 text.",
        )
    _decode(path, data)
    return data


def _settle(path: Path, *, may_be_empty: bool) -> bytes:
    ends = time.monotonic() + _PATIENCE
    before: tuple[int, int] | None = None
    while True:
        try:
            state = path.stat()
        except OSError:
            state = None
        if state is not None:
            now = (state.st_size, state.st_mtime_ns)
            # Only a change within the last moments can be half a save; an old file is taken at once.
            still = now == before or abs(time.time() - state.st_mtime) > 2 * _QUIET
            if (still and (state.st_size or may_be_empty)) or time.monotonic() > ends:
                return _read(path)
            before = now
        elif time.monotonic() > ends - _PATIENCE + 3 * _QUIET:
            # Editors that save by renaming leave a gap of milliseconds, not longer.
            return _read(path)
        time.sleep(_QUIET)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Unreadable(
            f"{path} is missing.",
            None,
            "Put it back, or run loopclinic reset to get it as it shipped.",
        ) from None
    except IsADirectoryError:
        raise Unreadable(f"{path} is a folder, not a file.", None, "Name a Python file.") from None
    except OSError as error:
        raise Unreadable(
            f"{path} can't be read ({error.strerror}).", None, "Give yourself the right to read it."
        ) from None


def _decode(path: Path, data: bytes) -> None:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Unreadable(
            f"Line {line} of {path.name} holds the byte 0x{data[error.start]:02x}, "
            f"which is not {error.encoding.upper()}.",
            line,
            "Save the file as UTF-8.",
        ) from None
    except (SyntaxError, LookupError) as error:
        # detect_encoding looks at the first two lines only.
        line = 1
        for line, text in enumerate(data.split(b"\n")[:2], 1):  # noqa: B007 - the line is the point
            try:
                text.decode("utf-8")
            except UnicodeDecodeError:
                break
        raise Unreadable(
            f"The encoding of {path.name} can't be told: {error}.", line, "Save the file as UTF-8."
        ) from None
