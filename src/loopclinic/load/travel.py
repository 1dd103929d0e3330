"""How a variant gets into a process of its own: by value, with all it refers to."""

import asyncio
import base64
import concurrent.futures
import contextlib
import functools
import importlib.machinery
import io
import linecache
import os
import pickle
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import cloudpickle

from loopclinic.load.variant import LoadError, Reference, Variant
from loopclinic.probe import user_code

__all__ = ["pack", "unpack"]

_REFUSED: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("an event loop", (asyncio.AbstractEventLoop, asyncio.Runner)),
    ("a socket", (socket.socket, asyncio.StreamWriter, asyncio.StreamReader)),
    (
        "a lock",
        (
            *(type(threading.Lock()), type(threading.RLock()), threading.Condition),
            *(threading.Semaphore, threading.Event, threading.Barrier),
            *(asyncio.Lock, asyncio.Condition, asyncio.Semaphore, asyncio.Event, asyncio.Barrier),
        ),
    ),
    ("a queue", (asyncio.Queue,)),
    ("a task or future", (asyncio.Future, concurrent.futures.Future)),
    ("an executor", (concurrent.futures.Executor,)),
    ("a thread", (threading.Thread,)),
)
# By name: none of these is imported for the check alone.
_REFUSED_NAMES = {
    "aiohttp.client.ClientSession": "a session",
    "requests.sessions.Session": "a session",
    "httpx.AsyncClient": "a session",
    "aiohttp.connector.BaseConnector": "a connector",
    "asyncpg.connection.Connection": "a connection",
    "asyncpg.pool.Pool": "a pool",
    "psycopg_pool.base.BasePool": "a pool",
    "psycopg._connection_base.BaseConnection": "a connection",
    "loopclinic.probe.probe.Probe": "a probe",
}


def pack(variant: Variant) -> dict[str, Any]:
    """Return a variant as a JSON value that another process can `unpack`.

    Raises:
        LoadError: it refers to something that lives in this process only; the variable is named.
    """
    by_file = False
    if isinstance(variant.target, str):
        by_file = True
        place = Reference.of(variant.target)
        if place.file is not None:
            place = place._replace(file=place.file.resolve())
        variant = replace(variant, target=str(place))
    roots = {"setup": variant.setup} if by_file else _roots(variant)
    with _local_modules_by_value():
        try:
            data = _dumps(variant)
        except Exception as error:
            raise _explained(variant.name, roots, error) from None
    return {
        "variant": base64.b64encode(data).decode(),
        "sys_path": sys.path,
        "sources": _sources(roots),
    }


def unpack(packed: dict[str, Any]) -> Variant:
    """Rebuild a variant, in the process that will serve it."""
    sys.path[:] = packed["sys_path"]
    for file, lines in packed["sources"].items():
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
    variant = pickle.loads(base64.b64decode(packed["variant"]))  # noqa: S301 - our parent's own
    assert isinstance(variant, Variant)
    return variant


class _RefusedError(Exception):
    """Something of this process only was met; the message says what kind of thing."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        for kind, types in _REFUSED:
            if isinstance(obj, types):
                raise _RefusedError(kind)
        for base in type(obj).__mro__:
            named = _REFUSED_NAMES.get(f"{base.__module__}.{base.__qualname__}")
            if named:
                raise _RefusedError(named)
        return super().reducer_override(obj)


def _dumps(value: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer).dump(value)
    return buffer.getvalue()


def _roots(variant: Variant) -> dict[str, Any]:
    return {variant.name: variant.target, "setup": variant.setup}


def _explained(name: str, roots: dict[str, Any], error: Exception) -> LoadError:
    for variable, holder, value in _captured(roots):
        try:
            _dumps(value)
        except _RefusedError as refused:
            return LoadError(
                f"'{name}' can't run in a process of its own: {holder} uses {variable!r}, "
                f"{refused} of this process. Make it in setup= (an async context manager) "
                "and take it from request.state."
            )
        except Exception as failure:
            return LoadError(
                f"'{name}' can't run in a process of its own: {holder} uses {variable!r} "
                f"({type(value).__name__}), which can't be copied there: {failure}. "
                "Make it in setup= and take it from request.state, or write the variant to a file "
                "and pass 'FILE.py:name'."
            )
    return LoadError(
        f"'{name}' can't run in a process of its own: {error}. Write it to a file and pass "
        "'FILE.py:name', or pass a function that makes it."
    )


def _captured(roots: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield (variable, who uses it, value) of all plain values that by-value functions refer to."""
    seen: set[int] = set()
    left: list[tuple[str, str, Any]] = [(name, name, root) for name, root in roots.items()]
    while left:
        name, holder, value = left.pop()
        if id(value) in seen or isinstance(value, ModuleType):
            continue
        seen.add(id(value))
        if isinstance(value, functools.partial):
            left += [("func", name, value.func)]
            left += [(f"argument {i}", name, part) for i, part in enumerate(value.args)]
            left += [(key, name, part) for key, part in value.keywords.items()]
        elif isinstance(value, MethodType):
            left += [("self", name, value.__self__), (name, name, value.__func__)]
        elif isinstance(value, FunctionType):
            if _by_value(value.__module__):
                left += [(key, f"{name}()", part) for key, part in _variables(value)]
        elif isinstance(value, type):
            if _by_value(value.__module__):
                left += [
                    (key, f"{name}.{key}", part)
                    for key, part in vars(value).items()
                    if isinstance(part, FunctionType)
                ]
        elif not isinstance(value, str | int | float | bytes | None):
            own = getattr(value, "__dict__", None)
            if isinstance(own, dict) and _by_value(type(value).__module__):
                left += [(f"{name}.{key}", holder, part) for key, part in own.items()]
                left.append((type(value).__name__, holder, type(value)))
            yield name, holder, value


def _variables(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a cell that was never filled
            yield name, cell.cell_contents
    codes: list[CodeType] = [function.__code__]
    for code in codes:
        codes += [const for const in code.co_consts if isinstance(const, CodeType)]
        for name in code.co_names:
            if name in function.__globals__:
                yield name, function.__globals__[name]
    for number, value in enumerate(function.__defaults__ or ()):
        yield f"default {number}", value
    yield from (function.__kwdefaults__ or {}).items()
    if hasattr(function, "__wrapped__"):
        yield function.__wrapped__.__name__, function.__wrapped__


def _by_value(module: str | None) -> bool:
    """Whether code of this module travels by value: nobody else could import it."""
    if module is None or module == "__main__" or module not in sys.modules:
        return True
    return sys.modules[module] in _local_modules()


def _local_modules() -> list[ModuleType]:
    """Return the user's modules that can't be imported by their name, such as a lab run by path."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name == "__main__" or not isinstance(file, str) or not user_code(file):
            continue
        top = name.partition(".")[0]
        try:
            spec = importlib.machinery.PathFinder.find_spec(top)
        except (ImportError, AttributeError, ValueError):
            spec = None
        if spec is None or (top == name and spec.origin and not _same(spec.origin, file)):
            found.append(module)
    return found


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


@contextlib.contextmanager
def _local_modules_by_value() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for module in _local_modules():
            if module.__name__ in cloudpickle.list_registry_pickle_by_value():
                continue
            if sys.modules.get(module.__name__) is not module:
                continue
            cloudpickle.register_pickle_by_value(module)
            stack.callback(cloudpickle.unregister_pickle_by_value, module)
        yield


def _sources(roots: dict[str, Any]) -> dict[str, list[str]]:
    """Return the lines of code that stands in no file, such as a cell, so stalls can show it."""
    found: dict[str, list[str]] = {}
    seen: set[int] = set()
    left: list[Any] = list(roots.values())
    while left:
        value = left.pop()
        value = getattr(value, "__func__", getattr(value, "func", value))
        if not isinstance(value, FunctionType) or id(value) in seen:
            continue
        seen.add(id(value))
        file = value.__code__.co_filename
        if _by_value(value.__module__):
            left += [part for _, part in _variables(value)]
            if file not in found and not Path(file).exists():
                found[file] = linecache.getlines(file)
    return found
