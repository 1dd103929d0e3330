"""The catalogue of blocking calls, as data: keyed by import path, each entry with its source.

`kinds.toml` has words for each kind of them.

`README.md` says what an entry may have, here or in `[[tool.loopclinic.scan.catalogue]]` of a project.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import resources
from typing import Any

from loopclinic.conflicts import CONFLICTS

__all__ = ["Catalogue", "CatalogueError", "Entry", "Leaf", "catalogue", "words"]


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
    cause: str = ""
    """What it was, as the subject of a sentence: where that of its kind does not fit."""
    own_remedy: str = ""
    own_weight: int = -1
    small: bool = False
    """Whether it takes milliseconds, so that it is light where it happens once."""

    @property
    def weight(self) -> int:
        """How long it may hold the loop, as an index of `loopclinic.conflicts.WEIGHTS`."""
        return self.own_weight if self.own_weight >= 0 else CONFLICTS[self.kind].weight

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.own_remedy or words(self.kind)[1]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the catalogue, see README.md."""

    path: str
    is_class: bool
    shown: str = ""
    """Its path in messages, where it stands for another class: one of `also`, by another name."""
    source: str = ""
    since: str = ""
    kind: str = ""
    confidence: str = "certain"
    also: tuple[str, ...] = ()
    former: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    cause: str = ""
    remedy: str = ""
    bounded: tuple[str, ...] = ()
    light: tuple[str, ...] = ()
    heavy: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    of_address: tuple[str, ...] = ()
    if_given: Mapping[str, str] = field(default_factory=dict)
    free_if_given: tuple[str, ...] = ()
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
    deep_awaits: tuple[str, ...] = ()
    deep_async_names: tuple[str, ...] = ()
    async_with: bool = False
    only_async_with: tuple[str, ...] = ()
    on_loop: Mapping[str, int | str] = field(default_factory=dict)
    on_loop_methods: tuple[str, ...] = ()
    on_loop_decorators: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()
    untimed: tuple[str, ...] = ()
    timeout: str = ""
    thread_lock: bool = False
    loop_bound: bool = False
    breaker: bool = False
    static: bool = False
    invented: bool = False

    def leaf(self, method: str, *, observed: bool = False) -> Leaf | None:
        """Return what calling this method or function is, or None if it doesn't block.

        `observed` asks for a call that did block.
        """
        if not self.kind:
            return None
        everything = "*" in self.blocks and method not in self.unless
        named = method in self.blocks or method in self.optional
        if not (everything or named or (observed and method in self.observed)):
            return None
        if everything and method.startswith("_"):
            return None
        small = method in self.small
        light = small or "*" in self.light or method in self.light
        return Leaf(
            self.kind,
            f"{self.shown or self.path}.{method}",
            self.confidence,
            self.source,
            method in self.continues,
            self.cause,
            self.remedy,
            0 if light else 2 if method in self.heavy else -1,
            small,
        )


_OF_A_TEXT = frozenset({*dir(str), *dir(bytes)}) - {"count", "find", "index"}
"""Methods of a text or of bytes, which a chain of attributes of what was answered ends in."""
_NO_CLASS = Entry("", is_class=True)
_KEY = re.compile(r"([{,] )(\w+) = ")
_FIELDS = {one.name for one in fields(Entry)} - {"path", "is_class", "shown"}


def _same(path: str, entry: Entry) -> bool:
    """Return whether a path is that of the entry's own class: the same name within the same package."""
    root, name = path.partition(".")[0], path.rpartition(".")[2]
    return (root, name) == (entry.path.partition(".")[0], entry.path.rpartition(".")[2])


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

    def __init__(self, entries: Iterable[Entry], own: Iterable[Mapping[str, str]] = ()) -> None:
        self.entries = tuple(entries)
        self.own = {
            one["function"]: Leaf(one["kind"], one["function"], own_remedy=one.get("remedy", ""))
            for one in own
        }
        """Functions of the scanned project, by import path, that it says block."""
        self.classes: dict[str, Entry] = {}
        self.modules: dict[str, list[Entry]] = {}
        self.makers: dict[str, tuple[str, bool]] = {}
        for entry in self.entries:
            for path in (entry.path, *entry.also, *entry.former):
                if entry.is_class:
                    self.classes[path] = entry if _same(path, entry) else replace(entry, shown=path)
                else:
                    self.modules.setdefault(path, []).append(entry)
            for made_by in entry.made_by:
                self.makers[made_by] = (entry.path, entry.made_by_await)
        self.handing = {
            path.rpartition(".")[2] if name == "__init__" else name
            for one in self.entries
            for name in one.on_loop
            for path in (one.path, *one.also)
        }
        """Names of what is handed something that then runs on the loop."""
        self.decorating = {name for one in self.entries for name in one.on_loop_decorators}
        self.roots = {path.partition(".")[0] for path in (*self.classes, *self.modules)}

    def cls(self, path: str) -> Entry:
        """Return the entry of the class at an import path; one that says nothing where there is none."""
        return self.classes.get(path, _NO_CLASS)

    def owned(self, path: str) -> Leaf | None:
        """Return what calling a function of the project is, by its path from any folder above it."""
        return next(
            (leaf for name, leaf in self.own.items() if f".{path}".endswith(f".{name}")), None
        )

    def function(self, path: str) -> Leaf | None:
        """Return what calling the function at an import path is."""
        if path in self.own:
            return self.own[path]
        module, _, name = path.rpartition(".")
        for entry in self.modules.get(module, ()):
            found = entry.leaf(name)
            if found is not None:
                return replace(found, name=path)
        owner = self.classes.get(module)
        if owner is not None and (owner.static or name in ("connect", "cwd", "home", "ask")):
            return owner.leaf(name)
        return self._deep_function(path)

    def if_given(self, path: str) -> str | None:
        """Return the first argument without which the function at an import path does not block."""
        module, _, name = path.rpartition(".")
        names = (entry.if_given.get(name) for entry in self.modules.get(module, ()))
        return next((one for one in names if one is not None), None)

    def reads_address(self, path: str) -> bool:
        """Return whether the function at an import path reads an address, or else parses a text."""
        module, _, name = path.rpartition(".")
        return any(name in entry.of_address for entry in self.modules.get(module, ()))

    def _deep_function(self, path: str) -> Leaf | None:
        root, _, rest = path.partition(".")
        names = rest.split(".")
        for entry in self.modules.get(root, ()):
            if names[0] in entry.deep_names and len(names) > 1 and names[-1] not in entry.unless:
                return Leaf(entry.kind, path, entry.confidence, entry.source)
        return None

    def deep_leaf(self, path: str, names: tuple[str, ...]) -> Leaf | None:
        """Return what calling a chain of attributes of an instance of a class is."""
        entry = self.cls(path)
        name = names[-1]
        if (
            not entry.deep
            or name in entry.unless
            or name in _OF_A_TEXT
            or name.startswith("with_")
            or names[0] in entry.deep_async_names
            or (entry.deep_methods and name not in entry.deep_methods)
        ):
            return None
        chain = ".".join((entry.shown or entry.path, *names))
        return Leaf(entry.kind, chain, entry.confidence, entry.source)

    def on_loop(self, path: str) -> int | str | None:
        """Return which argument of the function or class at an import path runs on the loop."""
        module, _, name = path.rpartition(".")
        found = (entry.on_loop.get(name) for entry in self.modules.get(module, ()))
        return next(
            (one for one in found if one is not None), self.cls(path).on_loop.get("__init__")
        )

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
        """Return whether the function at an import path gives a coroutine."""
        module, _, name = path.rpartition(".")
        return any(name in entry.awaits for entry in self.modules.get(module, ()))


@cache
def _words() -> dict[str, tuple[str, str]]:
    text = resources.files(__package__).joinpath("kinds.toml").read_text("utf-8")
    return {one["kind"]: (one["cause"], one["remedy"]) for one in _tables(text)}


def words(kind: str) -> tuple[str, str]:
    """Return what a blocking call of a kind is, as the subject of a sentence, and what to do about it."""
    return _words().get(kind, ("A blocking call", "keep it off the loop"))


@cache
def _shipped() -> tuple[Entry, ...]:
    found: list[Entry] = []
    for one in sorted(resources.files(__package__).iterdir(), key=lambda one: one.name):
        if one.name.endswith(".toml") and one.name != "kinds.toml":
            found += [_entry(raw, one.name) for raw in _tables(one.read_text("utf-8"))]
    return tuple(found)


def _tables(text: str) -> list[dict[str, Any]]:
    """Read the TOML that these files are written in: tables of one key a line.

    `tomllib` takes 40 ms for them, which the loop that a probe watches would wait for.
    """
    tables: list[list[str]] = []
    for line in text.splitlines():
        key, given, value = line.partition(" = ")
        if line == "[[entry]]":
            tables.append([])
        elif given and not line.startswith("#"):
            json_value = _KEY.sub(r'\1"\2": ', value) if value.startswith("{") else value
            tables[-1].append(f'"{key}": {json_value}')
    rows = ", ".join("{" + ", ".join(one) + "}" for one in tables)
    found: list[dict[str, Any]] = json.loads(f"[{rows}]")
    return found


def catalogue(
    additions: Iterable[Mapping[str, Any]] = (), own_functions: Iterable[Mapping[str, str]] = ()
) -> Catalogue:
    """Return the catalogue, with a project's own entries and its own functions that block.

    Raises:
        CatalogueError: an addition can't be used.
    """
    own = [_entry(raw, "pyproject.toml, [[tool.loopclinic.scan.catalogue]]") for raw in additions]
    return Catalogue((*_shipped(), *own), own_functions)
