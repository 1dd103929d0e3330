"""Matches the stack of another process with the catalogue of blocking calls.

Nothing of that process is imported here: a function of Python is known by its file and qualified name, a
call of C by what the names in its source lead to, through the file's imports, assignments and annotations.
"""

import ast
import linecache
import re
from functools import lru_cache

from loopclinic.blocking_calls import Entry, Leaf
from loopclinic.probe.blocking_frames import CatalogueCalls, assigned, likely_method, method_of
from loopclinic.probe.report import Frame

_DEEP = 4  # assignments and calls that are followed to where a value was made
_PACKAGES = re.compile(
    r".*/(?:site|dist)-packages/|.*/lib(?:64)?/python3(?:\.\d+)?t?/(?:lib-dynload/)?"
)


class ForeignCalls(CatalogueCalls):
    """The catalogue's calls, for the stacks of one process (has the methods of `CallIndex`)."""

    def __init__(self) -> None:
        super().__init__()
        self._qualified: dict[tuple[str, int, str], str] = {}
        self._methods: dict[str, list[tuple[str, Leaf]]] = {}
        self._roots: dict[str, list[Entry]] = {}
        for entry in self._catalogue.entries:
            for path in (entry.path, *entry.also, *entry.former):
                self._roots.setdefault(path.partition(".")[0], []).append(entry)
            if entry.is_class:
                for name in {*entry.blocks, *entry.optional, *entry.observed} - {"*"}:
                    leaf = entry.leaf(name, observed=True)
                    if leaf is not None:
                        root = entry.path.partition(".")[0]
                        self._methods.setdefault(name, []).append((root, leaf))

    def grow(self) -> None:
        """Do nothing: no module is looked at."""

    def note(self, file: str, line: int, function: str, qualified: str) -> None:
        """Record the qualified name of a frame, which a `Frame` lacks."""
        self._qualified[file, line, function] = qualified

    def frame(self, frame: Frame) -> Leaf | None:
        """Return the call that a frame of a library is the code of."""
        module = _module(frame.file)
        if module is None:
            return None
        qualified = self._qualified.get((frame.file, frame.line, frame.function), frame.function)
        owner, _, name = qualified.rpartition(".")
        for entry in self._roots.get(module.partition(".")[0], ()):
            paths = (entry.path, *entry.also, *entry.former)
            if not entry.is_class:
                within = any(module == one or module.startswith(f"{one}.") for one in paths)
                leaf = entry.leaf(name, observed=True) if within and not owner else None
            else:
                same = owner in {one.rpartition(".")[2] for one in paths}
                leaf = entry.leaf(name, observed=True) if same else None
            if leaf is not None:
                return leaf
        return None

    def _function(self, file: str, name: str) -> Leaf | None:
        path = _resolved(file, name)
        if path is None:
            return None
        found = self._catalogue.function(path)
        if found is None and path in self._catalogue.classes:
            return self._catalogue.classes[path].leaf("__init__", observed=True)
        if found is not None:
            return found
        module, _, name = path.rpartition(".")
        leaves = (one.leaf(name, observed=True) for one in self._catalogue.modules.get(module, ()))
        return next((one for one in leaves if one is not None), None)

    def _method(self, file: str, receiver: str, name: str) -> Leaf | None:
        entry = self._type(file, receiver, _DEEP)
        if entry is not None:
            return method_of(entry, name)
        if _resolved(file, receiver) is not None:
            return None  # a module or class of which the catalogue has nothing
        roots = _roots(file)
        found = [leaf for root, leaf in self._methods.get(name, ()) if root in roots]
        if len({leaf.kind for leaf in found}) != 1:
            return None
        return likely_method(found[0], receiver, name)

    def _type(self, file: str, source: str, deep: int) -> Entry | None:
        """Return the entry of the class of a value, None if it has none or that is not known."""
        if not deep or not source:
            return None
        if not source.endswith("()"):
            annotated = _annotation(file, source.rpartition(".")[2])
            if annotated is not None and annotated in self._catalogue.classes:
                return self._catalogue.classes[annotated]
            made = [self._type(file, one, deep - 1) for one in assigned(file, source) if one]
            return made[0] if made and all(one is made[0] for one in made) else None
        maker = _resolved(file, source[:-2])
        if maker is not None:
            returned = self._catalogue.returned(maker)
            return self._catalogue.classes.get(returned[0] if returned else maker)
        receiver, _, name = source[:-2].rpartition(".")
        owner = self._type(file, receiver, deep - 1) if receiver else None
        if owner is None:
            return None
        given = owner.returns.get(name) or owner.awaits.get(name, "")
        return owner if owner.fluent and not given else self._catalogue.classes.get(given)


def _module(file: str) -> str | None:
    """Return the import path of a library's file, None for a file of the user's own."""
    path = file.replace("\\", "/")
    found = _PACKAGES.match(path)
    if found is None:
        return None
    return path[found.end() :].removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _resolved(file: str, source: str) -> str | None:
    """Return the import path of a dotted name in a file, None if it is not imported there."""
    first, _, rest = source.partition(".")
    if "(" in source:
        return None
    imported = _imports(file)
    path = imported.get(first)
    if path is None and first in ("open", "input") and not rest:
        return f"builtins.{first}"
    return None if path is None else f"{path}.{rest}" if rest else path


@lru_cache(maxsize=64)
def _imports(file: str) -> dict[str, str]:
    """Return the names that a file imports, with their import paths; those of other files' own included."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                top = one.name.partition(".")[0]
                found[one.asname or top] = one.name if one.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                found[one.asname or one.name] = f"{node.module}.{one.name}"
    return found


def _roots(file: str) -> set[str]:
    return {path.partition(".")[0] for path in _imports(file).values()}


def _annotation(file: str, name: str) -> str | None:
    """Return the import path of the class that a file annotates a name with, None if it has none or several."""
    wanted = re.compile(rf"\b{re.escape(name)}\s*:\s*[\"']?([\w.]+)")
    found = {
        path
        for line in linecache.getlines(file)
        for one in wanted.findall(line)
        if (path := _resolved(file, one)) is not None
    }
    return found.pop() if len(found) == 1 else None
