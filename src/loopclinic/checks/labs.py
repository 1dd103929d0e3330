"""Where the files of a lab are, and how the learner's file is put back as it shipped."""

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from loopclinic.checks.source import LEFT_OUT
from loopclinic.lessons import Lesson
from loopclinic.places import kit_root, state_dir

__all__ = ["NoLabError", "Restored", "lab_path", "reset", "shipped_path", "solution_path"]


class NoLabError(LookupError):
    """The lesson has no lab; the message says what it has."""


def shipped_path(lesson: Lesson) -> Path:
    """Return the lab as it ships.

    Raises:
        NoLabError: the lesson has none.
    """
    shipped = lesson.shipped
    if shipped is None:
        raise NoLabError(
            f"Lesson {lesson.number} has no lab: open notebooks/{lesson.name}.ipynb instead."
        )
    return shipped


def lab_path(lesson: Lesson) -> Path:
    """Return the file that the learner edits, whether or not it is there.

    Raises:
        NoLabError: the lesson has none.
        KitNotFoundError: the kit's folder was not found.
    """
    return kit_root() / "labs" / shipped_path(lesson).name


def solution_path(lesson: Lesson) -> Path:
    """Return the reference solution.

    Raises:
        NoLabError: the lesson has none.
        KitNotFoundError: the kit's folder was not found.
    """
    return kit_root() / "solutions" / shipped_path(lesson).name


@dataclass(frozen=True, slots=True)
class Restored:
    """What a reset did: the file, and the backup of what was there (None if nothing was lost)."""

    path: Path
    backup: Path | None
    changed: bool


def reset(lesson: Lesson, *, now: datetime | None = None) -> Restored:
    """Put the learner's file back as it shipped, after a backup in the state folder.

    Raises:
        NoLabError: the lesson has no lab.
        KitNotFoundError: the kit's folder was not found.
        OSError: the backup or the file can't be written; the file is then as it was.
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
        _write(path, shipped.read_bytes())
    return Restored(path, backup, changed=True)


def _same(shipped: Path, path: Path) -> bool:
    if shipped.is_dir():
        return path.is_dir() and _contents(shipped) == _contents(path)
    return path.is_file() and path.read_bytes() == shipped.read_bytes()


def _contents(folder: Path) -> dict[Path, bytes]:
    """Return what a folder holds, caches and hidden files left out."""
    found = {}
    for place, inside, names in os.walk(folder):
        hidden = LEFT_OUT(place, [*inside, *names])
        inside[:] = set(inside) - hidden
        for name in set(names) - hidden:
            file = Path(place, name)
            found[file.relative_to(folder)] = file.read_bytes()
    return found


def _back_up(path: Path, now: datetime) -> Path:
    folder = state_dir() / "backups"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{path.stem}-{now:%Y%m%d-%H%M%S}"
    number = 1
    while True:
        backup = folder / f"{stem}{'' if number == 1 else f'-{number}'}{path.suffix}"
        if path.is_dir():
            if not backup.exists():
                shutil.copytree(path, backup, ignore=shutil.ignore_patterns("__pycache__"))
                return backup
        else:
            try:
                # Made exclusively: two resets within a second keep two backups.
                with backup.open("xb") as file:
                    file.write(path.read_bytes())
            except FileExistsError:
                pass
            else:
                return backup
        number += 1


def _swap(path: Path, shipped: Path) -> None:
    """Put a copy of a folder where `path` leads; what is there goes when the copy is whole."""
    target = path.resolve()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as room:
        new, old = Path(room, "new"), Path(room, "old")
        shutil.copytree(shipped, new, ignore=LEFT_OUT)
        if target.exists():
            target.rename(old)
        new.rename(target)


def _write(path: Path, data: bytes) -> None:
    target = path.resolve()
    number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
