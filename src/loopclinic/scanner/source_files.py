"""Lists the Python files to scan: each once, without environments and caches."""

import errno
import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path

from loopclinic.scanner.finding import Skipped
from loopclinic.scanner.name_sets import words

LEFT_OUT = words(
    ".git .hg .svn .venv venv env .env .tox .nox __pycache__ node_modules .mypy_cache .ruff_cache"
    " .pytest_cache .ipynb_checkpoints .eggs site-packages dist-packages"
)
"""Folders that hold no code of the project."""

_SUFFIXES = (".py", ".pyw")


def existing(path: Path) -> Path:
    """Return a path in full.

    Raises:
        FileNotFoundError: there is no such path.
        OSError: it can't be looked at.
    """
    try:
        root = path.resolve()
    except RuntimeError as error:  # Python 3.11 and 3.12 for a symlink to itself
        raise OSError(errno.ELOOP, "a symlink back to itself", str(path)) from error
    if not root.exists():
        raise FileNotFoundError(errno.ENOENT, "no such file or folder", str(path))
    return root


def find(root: Path, exclude: Sequence[str] = ()) -> tuple[list[str], list[Skipped]]:
    """Return the files below a folder, or the file itself, as paths relative to it, and what was skipped.

    `exclude` holds patterns such as `migrations` or `tests/data/*`.
    """
    if root.is_file():
        return [root.name], []
    found: list[str] = []
    skipped: list[Skipped] = []
    _walk(root, "", found, skipped, exclude, [_identity(root)])
    return found, skipped


def above(root: Path) -> tuple[str, ...]:
    """Return the names of the packages that a path itself stands in, its own folder last."""
    folder = root if root.is_dir() else root.parent
    names = [folder.name]
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
        names.insert(0, folder.name)
    return tuple(name for name in names if name)


def _walk(  # noqa: PLR0917 - what the recursion shares
    folder: Path,
    prefix: str,
    found: list[str],
    skipped: list[Skipped],
    exclude: Sequence[str],
    within: list[tuple[int, int]],
) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        skipped.append(Skipped(prefix or ".", None, f"can't be opened: {error.strerror}"))
        return
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if any(fnmatch.fnmatch(name, one) or entry.name == one.rstrip("/") for one in exclude):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError as error:
            skipped.append(Skipped(name, None, f"can't be opened: {error.strerror}"))
            continue
        if is_folder:
            if entry.name in LEFT_OUT or os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):  # noqa: PTH110, PTH118 - the hot path
                continue
            identity = _identity(Path(entry.path)) if entry.is_symlink() or within else (0, 0)
            if identity in within:
                skipped.append(Skipped(name, None, "a symlink back to a folder it stands in"))
                continue
            _walk(Path(entry.path), f"{name}/", found, skipped, exclude, [*within, identity])
        elif entry.name.endswith(_SUFFIXES):
            if entry.is_file():
                found.append(name)
            elif entry.is_symlink():
                skipped.append(Skipped(name, None, "a symlink that leads nowhere"))
            else:
                skipped.append(Skipped(name, None, "not a regular file"))


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)
