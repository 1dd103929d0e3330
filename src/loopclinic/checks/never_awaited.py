"""Finds coroutines of the lab's that were made and never awaited, and the line where the await is missing.

Python names each when it drops it. That alone accuses nobody: a coroutine is also dropped when what was to
await it is cancelled or fails before. So a coroutine counts only if the line that made it, or got it from
the functions that returned it, does with it what no coroutine is for: nothing, or what one does with a result.
"""

import ast
import linecache
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import thread as pool
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

from loopclinic.checks.loading import LabSource

_DEPTH = 8
"""Frames that a coroutine remembers of where it was made: libraries may stand between it and the lab."""
_MOST = 100
"""Ways that are remembered in which one was made and dropped."""
_KIT = str(Path(__file__).parents[1])

_Frame = tuple[str, int, str]
"""File, line and function."""


class NeverAwaited:
    """Remembers coroutines that were dropped before they began."""

    def __init__(self, lab: LabSource) -> None:
        self._lab = lab
        self._seen: Counter[tuple[CodeType, str, tuple[_Frame, ...], _Frame]] = Counter()
        self._told = 0

    def install(self) -> None:
        """Begin to remember; this stays until the process ends."""
        # The one place that has the coroutine itself, whatever filters and frames say of the warning.
        warnings._warn_unawaited_coroutine = self._note  # type: ignore[attr-defined]  # noqa: SLF001
        sys.set_coroutine_origin_tracking_depth(_DEPTH)
        threading.setprofile(_track)

    def news(self) -> list[dict[str, Any]] | None:
        """Return place, name and number of those of each line; None if none came since the last time.

        `sure` is false where it may have been dropped because something failed or was cancelled.
        """
        seen = list(self._seen.items())
        if (number := sum(many for _, many in seen)) == self._told:
            return None
        self._told, found = number, dict[tuple[str, int], dict[str, Any]]()
        for (code, name, origin, here), many in seen:
            told = self._blamed(code, name, origin, here)
            if told is not None:
                (file, line, _), sure = told
                about = {"coroutine": name, "handed": line == code.co_firstlineno}
                text = {"file": file, "line": line, "code": linecache.getline(file, line).strip()}
                one = found.setdefault(told[0][:2], {**text, **about, "sure": sure, "number": 0})
                one |= {"number": one["number"] + many, "sure": one["sure"] or sure}
        return list(found.values())

    def _note(self, coro: Any) -> None:
        frame = sys._getframe(1)  # noqa: SLF001 - documented
        here = (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        origin = tuple(coro.cr_origin or ())
        end = origin.index(here) + 1 if here in origin else len(origin)
        key = (coro.cr_code, coro.__name__, origin[:end], here)
        if len(self._seen) < _MOST or key in self._seen:
            self._seen[key] += 1

    def _blamed(
        self, code: CodeType, name: str, origin: tuple[_Frame, ...], here: _Frame
    ) -> tuple[_Frame, bool] | None:
        """Return where the await is missing, and whether that is sure; None where no lab's line has a part."""
        owns, known, called = self._lab.owns, here in origin, name
        made = next((one for one in origin if owns(one[0])), None)
        if made is None:
            # What the lab handed on was called by what knows nothing of coroutines, such as a thread. The kit
            # does, and may be cut off before it begins one.
            known = not origin or (here != origin[0] and origin[0][0].startswith(_KIT))
            own = owns(code.co_filename) and not known
            return ((code.co_filename, code.co_firstlineno, name), True) if own else None
        for at in origin:
            use = _use(*at[:2], called) if owns(at[0]) else "returned"
            if use == "dropped":
                return at, True
            if use == "handed on":
                # Whatever it was handed to may itself be dropped by a line that keeps nothing.
                bare = known and owns(here[0]) and _use(*here[:2]) == "dropped"
                return (here if bare else made), bare
            if use == "started":  # by what refused it, and raised
                return made, False
            called = at[2]
        return made, known or any(file == pool.__file__ for file, *_ in origin)


def _track(*_: object) -> None:
    """Let a thread that begins remember where its coroutines are made."""
    sys.setprofile(None)
    sys.set_coroutine_origin_tracking_depth(_DEPTH)


@lru_cache
def _use(file: str, line: int, called: str = "") -> str:
    """Return what a line does with what it gets from a call, of `called` if there is one.

    That is `dropped`, also for what none does with a coroutine, `returned`, `handed on`, or `started`.
    """
    parents, argument = _parents(file), False
    calls = [one for one in parents if isinstance(one, ast.Call)]
    calls = [one for one in calls if line in (one.lineno, one.func.end_lineno)]
    node: ast.AST | None = next((one for one in calls if _name(one.func) == called), None)
    node = node or next(iter(calls), None)
    while node is not None:
        parent = parents.get(node)
        match parent:
            case ast.Call():
                if node is not parent.func and _name(parent.func) in _STARTING:
                    return "started"
                argument = argument or node is not parent.func
            case ast.Return() | ast.Lambda():
                return "handed on" if argument else "returned"
            case ast.Assign(targets=[target]) if not argument:
                return "handed on" if _is_read(target, parents) else "dropped"
            case ast.Await() | ast.Starred() | ast.Yield() | ast.NamedExpr():
                break
            case _ if isinstance(parent, _ASKING):
                return "dropped"
            case ast.stmt():
                break
        node = parent
    return "handed on"


_ASKING = (
    *(ast.Expr, ast.If, ast.While, ast.For, ast.withitem, ast.FormattedValue),
    *(ast.BinOp, ast.Compare, ast.Attribute, ast.Subscript, ast.UnaryOp),
)


_STARTING = {
    *("create_task", "ensure_future", "gather", "start_soon"),
    *("run", "run_coroutine_threadsafe", "run_until_complete"),
}
"""Calls that have a loop begin what they are handed, or raise an error."""


def _is_read(target: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    """Return whether anything reads an attribute, or a name in its function, except to set an item of it."""
    scope = target
    while isinstance(target, ast.Subscript):
        target = target.value
    while scope in parents and not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
        scope = parents[scope]
    name = _name(target)
    for one in ast.walk(scope) if isinstance(target, ast.Name) else parents:
        parent = parents.get(one)
        item = isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Store)
        read = isinstance(getattr(one, "ctx", None), ast.Load) and not item and _name(one) == name
        if read or name in getattr(one, "names", ()):  # of a `global` or `nonlocal`
            return True
    return name is None


def _name(node: ast.AST) -> str | None:
    return getattr(node, "attr", getattr(node, "id", None))


@lru_cache
def _parents(file: str) -> dict[ast.AST, ast.AST]:
    """Return what each part of a file stands in, the outer ones first."""
    tree = ast.parse("".join(linecache.getlines(file)))
    return {part: whole for whole in ast.walk(tree) for part in ast.iter_child_nodes(whole)}
