"""A folder of the kit without a clone: laid out from the installed package, and updated from it.

The folder holds a list of the files as they were laid out, by which an update tells what a learner edited.
It copies what it replaces to the state folder first, as that of a clone does (update_clone.py).
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import loopclinic
from loopclinic.paths import shipped_kit, state_dir

_LIST = ".loopclinic.json"


class UpdateError(RuntimeError):
    """The update can't go on; the message names the repair."""


def kept_folder() -> Path:
    """Return the folder for what this update replaces, in the state folder; it need not exist yet."""
    return state_dir() / "set-aside" / time.strftime("%Y-%m-%d_%H-%M-%S")


def put_back(source: Path, target: Path, path: str) -> None:
    """Copy one file to its place below another folder."""
    (target / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source / path, target / path)


def newer_lab(path: str) -> str | None:
    """Say that an edited lab stays although the kit has a newer one; None for any other file."""
    lab = re.match(r"labs/(\d\d)_", path)
    return lab and f"{path}: yours stays, but the kit has a new one: loopclinic reset {lab[1]}"


def is_laid_out(folder: Path) -> bool:
    """Return whether `loopclinic init` made this folder."""
    return (folder / _LIST).is_file()


def lay_out(folder: Path) -> int:
    """Copy the kit's files into a new or empty folder; return how many.

    UpdateError if the package carries no files (it is a clone's), or the folder is not empty.
    """
    source = _source()
    if is_laid_out(folder):
        raise UpdateError(f"{folder} holds the kit already: loopclinic update brings what is new.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UpdateError(f"{folder} is not empty: name a new folder.")
    # Written last: a folder that was left half-way is no kit yet, and is named as not empty.
    shipped = sorted(_files(source))
    for path in shipped:
        put_back(source, folder, path)
    _write_list(folder, {path: _digest(source / path) for path in shipped})
    return len(shipped)


def update(folder: Path) -> None:
    """Bring the files of the installed version; keep edited labs, and a copy of all else that was edited.

    A notebook that was only run counts as edited by its outputs alone: it stays until the kit has a newer one.
    UpdateError if the package carries no files, or the folder's list can't be read.
    """
    source, before = _source(), _read_list(folder)
    now = {path: _digest(source / path) for path in sorted(_files(source))}
    kept, brought = kept_folder(), 0
    for path, digest in now.items():
        mine = folder / path
        if not mine.exists():
            print(f"{path}: {'restored' if path in before else 'new'}")
        elif _digest(mine) == digest:
            continue
        elif digest == before.get(path):
            print(f"{path}: yours stays")
            continue
        elif _digest(mine) == before.get(path):
            pass
        elif stays := newer_lab(path):
            print(stays)
            continue
        else:
            put_back(folder, kept, path)
            print(f"{path}: the new one stands; yours is kept as {kept / path}")
        put_back(source, folder, path)
        brought += 1
    for path in before.keys() - now.keys():
        if (folder / path).is_file() and _digest(folder / path) == before[path]:
            (folder / path).unlink()
    _write_list(folder, now)
    release = f"loopclinic {loopclinic.__version__}"
    nothing = f"The kit is up to date with {release}."
    print(f"Files brought from {release}: {brought}." if brought else nothing)


def _source() -> Path:
    source = shipped_kit()
    if source is None:
        raise UpdateError(
            "This loopclinic was installed from a clone, which holds the kit: change into the clone. "
            "make update brings what is new there."
        )
    return source


def _files(source: Path) -> Iterator[str]:
    for file in source.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(source).as_posix()


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _write_list(folder: Path, files: dict[str, str]) -> None:
    text = json.dumps({"version": loopclinic.__version__, "files": files}, indent=1)
    part = folder / f"{_LIST}.part"
    part.write_text(text, encoding="utf-8")
    part.replace(folder / _LIST)


def _read_list(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / _LIST).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UpdateError(
            f"{folder / _LIST} can't be read: run loopclinic init with a new folder, and copy your labs there."
        ) from error
