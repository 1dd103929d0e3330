"""Which files of the same project a file imports, and these import: what a design is made of."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from loopclinic.load.variant import import_root

__all__ = ["closure"]

_MOST = 400


def closure(files: Iterable[Path]) -> tuple[Path, ...]:
    """Return the files and all they import from beside them or from their package; nothing is run.

    The first four hundred; a file that is no Python imports nothing.
    """
    left = [file.resolve() for file in files]
    found: dict[Path, None] = {}
    while left and len(found) < _MOST:
        file = left.pop(0)
        if file in found:
            continue
        found[file] = None
        left += [path.resolve() for path in _imported(file)]
    return tuple(found)


def _imported(file: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    root = import_root(file)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield from _files(root, one.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = root
            if node.level:
                base = file.parents[min(node.level, len(file.parents)) - 1]
            parts = node.module.split(".") if node.module else []
            yield from _files(base, parts)
            for one in node.names:
                yield from _files(base, [*parts, one.name])


def _files(base: Path, parts: list[str]) -> Iterator[Path]:
    """Yield the module that these names mean below a folder, and the packages it stands in."""
    for count in range(1, len(parts) + 1):
        place = base.joinpath(*parts[:count])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                yield file
                break
