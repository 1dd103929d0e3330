"""Files of a lab: their paths, reading them safely, lines in their text, and resetting a lab."""

import contextlib
import io
import os
import shutil
import tempfile
import time
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from loopclinic.lessons import Lesson
from loopclinic.paths import kit_root, state_dir


class NoLabError(LookupError):
    """The lesson has no lab; the message says what it has."""


def shipped_path(lesson: Lesson) -> Path:
    """Return the lab as it ships; NoLabError if the lesson has none."""
    if lesson.shipped is None:
        notebook = f"notebooks/{lesson.name}.ipynb"
        raise NoLabError(f"Lesson {lesson.number} has no lab: open {notebook} instead.")
    return lesson.shipped


def lab_path(lesson: Lesson) -> Path:
    """Return the file that the learner edits, there or not; NoLabError or KitNotFoundError without one."""
    return kit_root() / "labs" / shipped_path(lesson).name


def solution_path(lesson: Lesson) -> Path:
    """Return the reference solution; NoLabError or KitNotFoundError without one."""
    return kit_root() / "solutions" / shipped_path(lesson).name


@dataclass(frozen=True, slots=True)
class Restored:
    """What a reset did: the file, and the backup of what was there (None if nothing was lost)."""

    path: Path
    backup: Path | None
    changed: bool


def reset(lesson: Lesson, *, now: datetime | None = None) -> Restored:
    """Put the learner's file back as it shipped, after a backup in the state folder.

    NoLabError or KitNotFoundError as in `lab_path`; OSError if it can't be written, and is as it was.
    """
    shipped, path = shipped_path(lesson), lab_path(lesson)
    if _same(shipped, path):
        return Restored(path, None, changed=False)
    backup = _back_up(path, now or datetime.now().astimezone()) if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    if shipped.is_dir():
        _swap(path, shipped)
    else:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        write_whole(path, shipped.read_bytes(), 0o644)
    return Restored(path, backup, changed=True)


def _same(shipped: Path, path: Path) -> bool:
    if shipped.is_dir():
        return path.is_dir() and _contents(shipped) == _contents(path)
    return path.is_file() and path.read_bytes() == shipped.read_bytes()


LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")
"""What is neither the learner's work nor the lab's, for `shutil.copytree`."""


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, hidden ones and caches left out, in order."""
    for place, inside, names in os.walk(folder):
        hidden = LEFT_OUT(place, [*inside, *names])
        inside[:] = sorted(set(inside) - hidden)
        yield from (Path(place, name) for name in sorted(set(names) - hidden))


def _contents(folder: Path) -> dict[Path, bytes]:
    return {file.relative_to(folder): file.read_bytes() for file in _files(folder)}


def _back_up(path: Path, now: datetime) -> Path:
    folder = state_dir() / "backups"
    folder.mkdir(parents=True, exist_ok=True)
    stem, number = f"{path.stem}-{now:%Y%m%d-%H%M%S}", 0
    while True:
        number += 1
        backup = folder / f"{stem}{f'-{number}' * (number > 1)}{path.suffix}"
        try:
            # Made exclusively: two resets within a second keep two backups.
            if path.is_dir():
                shutil.copytree(path, backup, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                with backup.open("xb") as file:
                    file.write(path.read_bytes())
        except FileExistsError:
            continue
        return backup


def _swap(path: Path, shipped: Path) -> None:
    """Put a copy of a folder where `path` leads; what is there goes when the copy is whole."""
    target = path.resolve()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as room:
        new, old = Path(room, "new"), Path(room, "old")
        shutil.copytree(shipped, new, ignore=LEFT_OUT)
        if target.exists():
            target.rename(old)
        new.rename(target)


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Replace a file, or what a link leads to: a reader finds the old content or the new, whole."""
    target = path.resolve()
    number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


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
    """Return the folder's Python files, hidden ones and caches left out, in order; Unreadable if too many."""
    files = (file for file in _files(folder) if file.name.endswith(".py"))
    found = list(islice(files, _MOST + 1))
    if len(found) > _MOST:
        said = f"{folder.name} holds more than {_MOST} Python files."
        step = "Keep environments and other projects out of the lab's folder."
        raise Unreadable(said, None, step)
    return found


def read_settled(path: Path, *, may_be_empty: bool = False) -> bytes:
    """Return the bytes of `path` once size and time of change have been still for a moment.

    Unreadable if it is missing, empty, too large, or not text in the encoding it claims.
    """
    data, name = _settle(path, may_be_empty=may_be_empty), path.name
    if data.strip():
        _decode(name, data)
    elif not may_be_empty:
        step = "Save it again, or run loopclinic reset to start over."
        raise Unreadable(f"{name} is empty.", 1, step)
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
        said, step = "is missing", "Put it back, or run loopclinic reset to get it as it shipped."
    except IsADirectoryError:
        said, step = "is a folder, not a file", "Name a Python file."
    except OSError as error:
        said, step = f"can't be read ({error.strerror})", "Give yourself the right to read it."
    raise Unreadable(f"{path} {said}.", None, step)


def _decode(name: str, data: bytes) -> None:
    if len(data) > _LARGEST:
        raise Unreadable(f"{name} is larger than 1 MB.", None, "Keep data out of the lab file.")
    if (place := data.find(b"\0")) >= 0:
        said = f"{name} holds a null byte, so it is no Python text."
        raise Unreadable(said, _line(data, place), "Save it as UTF-8 text.")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        data.decode(encoding)
    except UnicodeDecodeError as error:
        line, byte = _line(data, error.start), data[error.start]
        said = f"Line {line} of {name} holds the byte 0x{byte:02x}, which is not {error.encoding.upper()}."
    except (SyntaxError, LookupError) as error:
        # detect_encoding looks at the first two lines only.
        line, said = 1, f"The encoding of {name} can't be told: {error}."
        for line, text in enumerate(data.split(b"\n")[:2], 1):  # noqa: B007 - the line is the point
            try:
                text.decode("utf-8")
            except UnicodeDecodeError:
                break
    else:
        return
    raise Unreadable(said, line, "Save the file as UTF-8.")


def _line(data: bytes, place: int) -> int:
    """Return the line in which this byte stands."""
    return data[:place].count(b"\n") + 1
