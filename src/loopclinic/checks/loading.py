"""Imports a copy of the lab, compares it with the contract, and maps its lines to the learner's file."""

import ast
import builtins
import difflib
import importlib.util
import inspect
import linecache
import os
import sys
import threading
import time
import traceback
from asyncio import base_events, events, selector_events, tasks, timeouts
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from loopclinic.lessons.core.stacks import related
from loopclinic.probe.frames import chain_of

import asyncio  # isort: skip - beside its submodules above


@dataclass(frozen=True, slots=True)
class Broken:
    """One way in which a file breaks the contract before anything was measured."""

    how: str
    name: str
    line: int | None = None
    wanted: str = ""
    found: str = ""


class LabSource:
    """A copy of the learner's file or folder in the child, and the path that stands for it in reports.

    `entry` is the file of a folder that is imported, relative to it: `billing/__init__.py`.
    """

    def __init__(self, copy: Path, shown: Path, entry: str = "") -> None:
        self.copy = copy
        self.shown = shown
        self._entry = copy / entry
        self._whole = copy.is_dir()
        self.text = ""

    def load(self, name: str) -> ModuleType:
        """Import the copy as the module `name`, a package of a folder by its own name as well.

        Its code carries the shown path. Raises whatever the file raises.
        """
        if self._whole:
            sys.meta_path.insert(0, _Finder(name, self))
        entry = str(self._entry)
        self.text = importlib.util.decode_source(self._entry.read_bytes())
        loader = _Loader(name, entry, self.shown_name(entry))
        inside = [str(self._entry.parent)] if self._whole else None
        spec = importlib.util.spec_from_file_location(
            name, entry, loader=loader, submodule_search_locations=inside
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"{self._entry} can't be imported.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def shown_name(self, filename: str) -> str:
        """Return the learner's own path for a file of the copy, and any other as it is."""
        if filename == str(self.copy):
            return str(self.shown)
        if self._whole and filename.startswith(f"{self.copy}{os.sep}"):
            return str(self.shown / Path(filename).relative_to(self.copy))
        return filename

    def owns(self, filename: str) -> bool:
        """Return whether code with this filename is the learner's."""
        inside = (f"{self.copy}{os.sep}", f"{self.shown}{os.sep}")
        named = filename in (str(self.shown), str(self.copy))
        return named or (self._whole and filename.startswith(inside))

    def place(self, frames: Iterator[tuple[FrameType, int]]) -> dict[str, Any] | None:
        """Return file, line, code and function of the last of `frames` that is the learner's."""
        inside = [one for one in frames if self.owns(one[0].f_code.co_filename)]
        if not inside:
            return None
        frame, line = inside[-1]
        file = self.shown_name(frame.f_code.co_filename)
        code = linecache.getline(file, line).strip()
        return {"file": file, "line": line, "code": code, "function": frame.f_code.co_name}

    def place_of_frame(self, frame: FrameType | None) -> dict[str, Any] | None:
        """Return the innermost place of the learner's in a running stack, or None."""
        stack = chain_of(frame)
        mine = next((one for one in stack if self.owns(one.f_code.co_filename)), None)
        return self.place(iter([(mine, mine.f_lineno or 0)])) if mine else None

    def place_of_error(self, error: BaseException) -> dict[str, Any] | None:
        """Return the innermost place of the learner's in a traceback, looking into groups and causes."""
        tracebacks = (one.__traceback__ for one in related(error, contexts=True))
        places = (self.place(traceback.walk_tb(one)) for one in tracebacks)
        return next(filter(None, places), None)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, shown: str) -> None:
        super().__init__(name, path)
        self._shown = shown

    def source_to_code(self, data: Any, path: Any, *_: Any, **__: Any) -> CodeType:  # type: ignore[override]
        del path  # 3.15 names the module behind it, and it means to add more by name
        # A modification time of None keeps linecache from looking at the file on disk again,
        # where the learner may already have typed on.
        lines = importlib.util.decode_source(data).splitlines(keepends=True)
        linecache.cache[self._shown] = (len(data), None, lines, self._shown)
        code = compile(data, self._shown, "exec", dont_inherit=True)
        assert isinstance(code, CodeType)
        return code


class _Finder(MetaPathFinder):
    """Finds the modules of a lab's package in the copy, and has their code carry the shown path."""

    def __init__(self, name: str, lab: LabSource) -> None:
        self._inside = f"{name}."
        self._lab = lab

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(self._inside):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin and self._lab.owns(spec.origin):
            spec.loader = _Loader(fullname, spec.origin, self._lab.shown_name(spec.origin))
        return spec


def broken_contract(lab: ModuleType, shipped: ModuleType, public: tuple[str, ...]) -> Broken | None:
    """Compare the lab's public names and signatures with those of the lab as shipped."""
    for name in public:
        if not hasattr(lab, name):
            defined = [one for one in vars(lab) if not one.startswith("__")]
            close = difflib.get_close_matches(name, defined, n=1, cutoff=0.5)
            line = _line(getattr(lab, close[0])) if close else None
            return Broken("missing", name, line, found=close[0] if close else "")
        wanted, found = getattr(shipped, name, None), getattr(lab, name)
        if not callable(wanted):
            continue
        if not callable(found):
            return Broken("not-callable", name, found=type(found).__name__)
        broken = _broken_signature(name, wanted, found)
        if broken is not None:
            return broken
        if inspect.isclass(wanted) and inspect.isclass(found):
            for method, function in vars(wanted).items():
                if method.startswith("_") or not inspect.isfunction(function):
                    continue
                full = f"{name}.{method}"
                other = getattr(found, method, None)
                if other is None:
                    close = difflib.get_close_matches(method, dir(found), n=1, cutoff=0.6)
                    return Broken("missing", full, _line(found), found=close[0] if close else "")
                broken = _broken_signature(full, function, other)
                if broken is not None:
                    return broken
    return None


def _broken_signature(name: str, wanted: Any, found: Any) -> Broken | None:
    try:
        # A decorator's own signature is the one that is called, whatever it says it wraps.
        want, have = inspect.signature(wanted), inspect.signature(found, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
    fixed = [p for p in want.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [p for p in fixed if p.default is p.empty]
    for chosen in (required, fixed):
        by_position = [p for p in chosen if p.kind is not p.KEYWORD_ONLY]
        by_name = {p.name: None for p in chosen if p.kind is p.KEYWORD_ONLY}
        named = {p.name: None for p in chosen if p.kind is not p.POSITIONAL_ONLY}
        only = [None for p in chosen if p.kind is p.POSITIONAL_ONLY]
        try:
            have.bind(*(None for _ in by_position), **by_name)
            have.bind(*only, **named)
        except TypeError:
            return Broken("signature", name, _line(found), f"{name}{want}", f"{name}{have}")
    return None


def _line(thing: Any) -> int | None:
    thing = inspect.unwrap(thing) if callable(thing) else thing
    code = getattr(thing, "__code__", None)
    if code is not None:
        return int(code.co_firstlineno)
    try:
        return inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return None


class Originals:
    """What the measuring rests on, remembered before a lab is imported, to see what it replaced."""

    def __init__(self) -> None:
        self._kept = {owner: dict(vars(thing)) for owner, thing in _WATCHED.items()}

    def replaced(self) -> list[str]:
        """Return the names, such as `time.sleep`, that no longer are what they were."""
        found = []
        for owner, kept in self._kept.items():
            now: Mapping[str, Any] = vars(_WATCHED[owner])
            found += [
                f"{owner}.{name}"
                for name, value in kept.items()
                if not name.startswith("_") and callable(value) and now.get(name) is not value
            ]
        return found


_WATCHED: dict[str, Any] = {
    "builtins": builtins,
    "time": time,
    "asyncio": asyncio,
    "asyncio.events": events,
    "asyncio.tasks": tasks,
    "asyncio.timeouts": timeouts,
    "asyncio.BaseEventLoop": base_events.BaseEventLoop,
    "asyncio.SelectorEventLoop": selector_events.BaseSelectorEventLoop,
    "asyncio.Handle": events.Handle,
    "threading.Thread": threading.Thread,
}


def line_that_replaces(text: str, name: str) -> int | None:
    """Return the line of `text` that replaces `name`, such as `time.sleep`; None if there is none.

    That is the first one that assigns to an attribute called so, else the first call of something in the
    module that the replacement is from, such as `nest_asyncio.apply()`.
    """
    owner, _, last = name.rpartition(".")
    module = getattr(vars(_WATCHED[owner]).get(last), "__module__", None)
    known, assigned, called = set(), [], []
    # It was imported, so it can be parsed.
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(attr=attr, ctx=ast.Store(), lineno=line) if attr == last:
                assigned.append(line)
            case ast.Constant(value=value, lineno=line) if value == last:
                assigned.append(line)
            case ast.Import(names=names):
                known |= {one.asname or one.name for one in names if one.name == module}
            case ast.ImportFrom(module=source, names=names) if source == module:
                known |= {one.asname or one.name for one in names}
            case ast.Call(
                func=ast.Name(id=used) | ast.Attribute(value=ast.Name(id=used)), lineno=line
            ):
                called.append((line, used))
    of_module = [line for line, used in called if used in known]
    return min(assigned or of_module, default=None)
