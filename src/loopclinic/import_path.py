"""Finds code by its place: a file or package by its path, and `FILE.py:name` or `package.module:name` in words."""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Self

USUAL_NAMES = ("handler", "app", "application", "make_app", "create_app")
"""What is looked for in a file that is given without a name."""


def imported(place: Path, name: str) -> ModuleType:
    """Import a file, or the package that a folder is, as the module `name`, and return it.

    What it raises passes through, and then there is no such module.
    """
    whole = place.is_dir()  # loopclinic: ignore[blocking-file-io] an import reads more than that
    entry = place / "__init__.py" if whole else place
    inside = [str(place)] if whole else None
    spec = spec_from_file_location(name, entry, submodule_search_locations=inside)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} can't be imported: name a .py file, or a package's folder.")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class LoadError(Exception):
    """A target can't be had, can't be put under load, or died under it; the message names the repair.

    `detail` holds more, such as a traceback from the target's own process.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        if detail:
            self.add_note(detail.rstrip())
        self.detail = detail


class Reference(NamedTuple):
    """A target in words: a file or a module, and a name in it (empty: a usual one)."""

    file: Path | None
    module: str
    name: str

    @classmethod
    def of(cls, words: str) -> Self:
        """Read `FILE.py:name`, `FILE.py`, or `package.module:name`; LoadError if there is no such file or package."""
        place, _, name = words.rpartition(":")
        if words.endswith(".py"):
            place, name = words, ""
        elif not name.isidentifier() or not place:
            raise LoadError(f"{words!r} is no target: write it as 'FILE.py:name'.")
        if place.endswith(".py"):
            if not Path(place).is_file():  # loopclinic: ignore[blocking-file-io] before it serves
                raise LoadError(f"{words!r}: there is no file {Path(place).absolute()}.")
            return cls(Path(place), "", name)
        if not all(part.isidentifier() for part in place.split(".")):
            raise LoadError(f"{words!r} is no target: write it as 'FILE.py:name'.")
        if find_spec(place.partition(".")[0]) is None:
            raise LoadError(
                f"{words!r}: there is no module {place.partition('.')[0]!r} on this Python's path. "
                "Install it, or write 'FILE.py:name'."
            )
        return cls(None, place, name)

    def load(self) -> Any:
        """Return what stands there: the file or module is run now, and what it raises passes through.

        LoadError if it doesn't define that name.
        """
        if self.file is not None:
            module, said = _run_file(self.file.resolve()), str(self.file)
        else:
            module, said = import_module(self.module), self.module
        if not self.name:
            for name in USUAL_NAMES:
                if hasattr(module, name):
                    return getattr(module, name)
            usual = ", ".join(USUAL_NAMES)
            raise LoadError(f"{said} defines none of {usual}: write it as '{said}:name'.")
        try:
            return getattr(module, self.name)
        except AttributeError:
            raise LoadError(f"{said} defines no {self.name!r}: name what it does define.") from None

    def __str__(self) -> str:
        place = str(self.file) if self.file is not None else self.module
        return f"{place}:{self.name}" if self.name else place


def _run_file(file: Path) -> Any:
    root = import_root(file)
    if root != file.parent:  # of a package: by its own name, so that its relative imports work
        sys.path.insert(0, str(root))
        return import_module(".".join(file.relative_to(root).with_suffix("").parts))
    sys.path.insert(0, str(file.parent))  # as when it is run as a script
    try:
        return imported(file, f"_loopclinic_{abs(hash(file))}_{file.stem}")
    finally:
        sys.path.remove(str(file.parent))


def import_root(file: Path) -> Path:
    """Return the folder that a file's absolute imports begin in: its own, or above its packages."""
    folder = file.parent
    while True:
        package = folder / "__init__.py"
        if not package.is_file():  # loopclinic: ignore[blocking-file-io] before it serves
            return folder
        folder = folder.parent
