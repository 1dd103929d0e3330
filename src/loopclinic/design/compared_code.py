"""Source code of each compared variant, and what the scanner finds in it."""

import ast
import importlib.util
import inspect
import linecache
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from loopclinic.design.command import Command
from loopclinic.import_path import USUAL_NAMES, LoadError, Reference, import_root
from loopclinic.load.variant import Variant
from loopclinic.probe.stack import cell_label
from loopclinic.runner.wording import line_of, shown

_LINES = 60


@dataclass(frozen=True)
class Subject:
    """One variant, for a reader: `where` it stands, its `code`, and the files it is made of."""

    name: str
    where: str
    code: str = ""
    files: tuple[Path, ...] = ()
    """Its own file and those of the same project that it imports; none where it has no file."""

    @classmethod
    def of(cls, variant: Variant) -> "Subject":
        """Find a variant's source, without running any of it."""
        if isinstance(variant, Command):
            files = closure(_files_of(variant.target, Path(variant.folder)))
            return cls(variant.name, variant.target, files=files)
        if isinstance(variant.target, str):
            return cls._of_reference(variant.name, Reference.of(variant.target))
        return cls._of_object(variant.name, variant.target)

    @classmethod
    def _of_reference(cls, name: str, reference: Reference) -> "Subject":
        file = reference.file if reference.file is not None else _file_of(reference.module)
        if file is None:
            return cls(name, str(reference))
        line, code = _definition(file, (reference.name,) if reference.name else USUAL_NAMES)
        where = f"{shown(str(file.resolve()))}:{line}" if line else str(reference)
        return cls(name, where, code, closure([file]))

    @classmethod
    def _of_object(cls, name: str, target: Any) -> "Subject":
        inner = inspect.unwrap(getattr(target, "func", target))
        inner = getattr(inner, "__func__", inner)
        code = getattr(inner, "__code__", None)
        if code is None:
            inner = type(inner)
            module = inspect.getmodule(inner)
            file = getattr(module, "__file__", None) if isinstance(module, ModuleType) else None
            return cls(name, f"{inner.__module__}.{inner.__qualname__}", files=_own(file))
        cell, first = cell_label(code.co_filename), code.co_firstlineno
        lines = linecache.getlines(code.co_filename)[first - 1 :]
        where = line_of(code.co_filename, first, cell)
        return cls(name, where, _shortened(_block(lines)), () if cell else _own(code.co_filename))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "name": self.name,
            "where": self.where,
            "code": self.code,
            "files": [shown(str(file)) for file in self.files],
        }


def _block(lines: list[str]) -> str:
    """Return the lines of the definition that the first line begins, or none that can be told."""
    try:
        return "".join(inspect.getblock(lines)) if lines else ""
    except (SyntaxError, tokenize.TokenError):  # a lambda in the middle of a call
        return lines[0]


def _own(file: str | None) -> tuple[Path, ...]:
    path = Path(file) if file else None
    if path is None or not path.is_file() or "site-packages" in path.parts:
        return ()
    return closure([path])


def _file_of(module: str) -> Path | None:
    """Return the file of a module, without importing it or its packages."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin)
    for number, name in enumerate(rest, start=1):
        folder = file.parent / name
        package = folder / "__init__.py"
        file = package if package.is_file() else file.parent / f"{name}.py"
        if not file.is_file() or (file != package and number < len(rest)):
            return None
    return file


def _files_of(command: str, folder: Path) -> list[Path]:
    """Return the Python files that a command names, also as `module:name`."""
    found = []
    for word in command.split():
        place = word.partition(":")[0]
        if place.endswith(".py"):
            file = folder / place
        elif ":" in word and all(part.isidentifier() for part in place.split(".")):
            file = folder / (place.replace(".", "/") + ".py")
        else:
            continue
        if file.is_file():
            found.append(file)
    return found


def _definition(file: Path, names: tuple[str, ...]) -> tuple[int, str]:
    """Return line and text of the first of these names that a file defines."""
    try:
        text = file.read_text("utf-8")
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError) as error:
        raise LoadError(f"{file} can't be read as Python: {error}.") from None
    defined: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined[node.name] = node
        elif isinstance(node, ast.Assign):
            defined |= {one.id: node for one in node.targets if isinstance(one, ast.Name)}
    for name in names:
        if name not in defined:
            continue
        found = defined[name]
        first = min([found.lineno, *(one.lineno for one in getattr(found, "decorator_list", ()))])
        lines = text.splitlines()[first - 1 : found.end_lineno]
        return first, _shortened("\n".join(lines))
    return 0, ""


def _shortened(code: str) -> str:
    lines = code.rstrip().splitlines()
    if len(lines) <= _LINES:
        return "\n".join(lines)
    return "\n".join([*lines[:_LINES], f"# and {len(lines) - _LINES} more lines"])


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
