"""The catalogue of what blocks, as data: keyed by import path, each entry with its source.

An entry of the TOML files beside this module, or of `[[tool.loopclinic.scan.catalogue]]` in a
project's pyproject.toml, describes a class or the functions of a module:

    class, module        its import path; `also` lists other paths to the same, `former` those of
                         older versions
    source               where it is documented
    since                the first Python whose standard library has it, if newer than 3.11
    kind                 the conflict that a blocking call is; confidence = "likely" if less than certain
    blocks               functions or methods that block; "*" all but those in `unless`;
                         `optional` those that not every version has; "__init__", "__enter__" and
                         "__iter__" stand for making, entering and iterating
    blocking_with        methods that block when their result is entered by `with`
    continues            methods that only go on with what one above began, on the same object
    made_by              functions that return an instance; made_by_await where they are awaited
    returns, awaits      method -> import path of what it returns, or gives when awaited ("" unknown)
    attributes           attribute -> import path of its type; any_attribute, subscript, called,
                         divided (by `/`), enters, async_enters: of what these give; elements_of
    fluent               other methods return the object itself; one_of: one of the rows it stands for
    deep                 any chain of attributes ends in a blocking call: `client.chat.completions.create`;
                         deep_methods limits the last name, deep_names (of a module) the first
    async_with           only `async with` enters it; only_async_with: only so entered are the results
                         of these
    closes               methods that close it: it must be closed
    untimed              awaited operations on the network that have no timeout of their own
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import resources
from typing import Any

from loopclinic.conflicts import CONFLICTS

__all__ = ["Catalogue", "CatalogueError", "Entry", "Leaf", "catalogue"]


class CatalogueError(ValueError):
    """An entry can't be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One thing that blocks: the kind it is, how sure that is, and where it is documented."""

    kind: str
    name: str
    confidence: str = "certain"
    source: str = ""
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the catalogue, see the module's docstring."""

    path: str
    is_class: bool
    source: str = ""
    since: str = ""
    kind: str = ""
    confidence: str = "certain"
    also: tuple[str, ...] = ()
    former: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    bounded: tuple[str, ...] = ()
    blocking_with: tuple[str, ...] = ()
    continues: tuple[str, ...] = ()
    made_by: tuple[str, ...] = ()
    made_by_await: bool = False
    returns: Mapping[str, str] = field(default_factory=dict)
    awaits: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    elements_of: Mapping[str, str] = field(default_factory=dict)
    any_attribute: str = ""
    subscript: str = ""
    called: str = ""
    divided: str = ""
    enters: str = ""
    async_enters: str = ""
    parts: tuple[str, ...] = ()
    fluent: bool = False
    one_of: tuple[str, ...] = ()
    deep: bool = False
    deep_methods: tuple[str, ...] = ()
    deep_names: tuple[str, ...] = ()
    deep_async_names: tuple[str, ...] = ()
    async_with: bool = False
    only_async_with: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()
    untimed: tuple[str, ...] = ()
    timeout: str = ""
    thread_lock: bool = False
    loop_bound: bool = False
    breaker: bool = False
    static: bool = False
    invented: bool = False

    def leaf(self, method: str) -> Leaf | None:
        """Return what calling this method or function is, or None if it doesn't block."""
        if not self.kind:
            return None
        everything = "*" in self.blocks and method not in self.unless
        if not (everything or method in self.blocks or method in self.optional):
            return None
        if everything and method.startswith("_"):
            return None
        return Leaf(
            self.kind,
            f"{self.path}.{method}",
            self.confidence,
            self.source,
            method in self.continues,
        )


_FIELDS = {one.name for one in fields(Entry)} - {"path", "is_class"}


def _entry(raw: Mapping[str, Any], origin: str) -> Entry:
    path = raw.get("class") or raw.get("module")
    if not isinstance(path, str):
        raise CatalogueError(f"{origin}: an entry of the catalogue needs `class` or `module`.")
    rest = {key: value for key, value in raw.items() if key not in ("class", "module")}
    unknown = sorted(set(rest) - _FIELDS)
    if unknown:
        raise CatalogueError(f"{origin}: {path} has unknown keys: {', '.join(unknown)}.")
    if rest.get("kind") and rest["kind"] not in CONFLICTS:
        raise CatalogueError(
            f"{origin}: {path} has kind {rest['kind']!r}; the kinds are: {', '.join(sorted(CONFLICTS))}."
        )
    for key, value in rest.items():
        if isinstance(value, list):
            rest[key] = tuple(value)
    return Entry(path, "class" in raw, **rest)


class Catalogue:
    """Answers by import path."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        self.classes: dict[str, Entry] = {}
        self.modules: dict[str, list[Entry]] = {}
        self.makers: dict[str, tuple[str, bool]] = {}
        for entry in self.entries:
            for path in (entry.path, *entry.also, *entry.former):
                if entry.is_class:
                    self.classes[path] = entry
                else:
                    self.modules.setdefault(path, []).append(entry)
            for made_by in entry.made_by:
                self.makers[made_by] = (entry.path, entry.made_by_await)
        self.roots = {path.partition(".")[0] for path in (*self.classes, *self.modules)}

    def function(self, path: str) -> Leaf | None:
        """Return what calling the function at an import path is."""
        module, _, name = path.rpartition(".")
        for entry in self.modules.get(module, ()):
            found = entry.leaf(name)
            if found is not None:
                return found
        owner = self.classes.get(module)
        if owner is not None and (owner.static or name in ("connect", "cwd", "home", "ask")):
            return owner.leaf(name)
        return self._deep_function(path)

    def _deep_function(self, path: str) -> Leaf | None:
        root, _, rest = path.partition(".")
        names = rest.split(".")
        for entry in self.modules.get(root, ()):
            if names[0] in entry.deep_names and len(names) > 1 and names[-1] not in entry.unless:
                return Leaf(entry.kind, path, entry.confidence, entry.source)
        return None

    def returned(self, path: str) -> tuple[str, bool] | None:
        """Return the class that the function at an import path gives, and whether by awaiting."""
        if path in self.makers:
            return self.makers[path]
        module, _, name = path.rpartition(".")
        for entry in self.modules.get(module, ()):
            if name in entry.returns:
                return entry.returns[name], False
            if name in entry.awaits:
                return entry.awaits[name], True
        return None

    def awaited(self, path: str) -> bool:
        """Whether the function at an import path gives a coroutine."""
        module, _, name = path.rpartition(".")
        return any(name in entry.awaits for entry in self.modules.get(module, ()))


@cache
def _shipped() -> tuple[Entry, ...]:
    found: list[Entry] = []
    for one in sorted(resources.files(__package__).iterdir(), key=lambda one: one.name):
        if one.name.endswith(".toml"):
            raw = tomllib.loads(one.read_text("utf-8"))
            found += [_entry(entry, one.name) for entry in raw["entry"]]
    return tuple(found)


def catalogue(additions: Iterable[Mapping[str, Any]] = ()) -> Catalogue:
    """Return the catalogue, with a project's own entries.

    Raises:
        CatalogueError: an addition can't be used.
    """
    own = [_entry(raw, "pyproject.toml, [[tool.loopclinic.scan.catalogue]]") for raw in additions]
    return Catalogue((*_shipped(), *own))
