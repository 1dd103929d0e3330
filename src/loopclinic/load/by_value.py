"""Sends a variant to another process by value (cloudpickle), with everything it refers to."""

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
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import cloudpickle

from loopclinic.import_path import LoadError, Reference
from loopclinic.load.variant import Variant
from loopclinic.probe import user_code

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


@functools.singledispatch
def pack(variant: Variant) -> dict[str, Any]:
    """Return a variant as a JSON value that another process can `unpack_value`; LoadError as in `pack_value`."""
    roots: dict[str, Any] = {"setup": variant.setup}
    if isinstance(variant.target, str):
        place = Reference.of(variant.target)
        if place.file is not None:
            place = place._replace(file=place.file.resolve())
        variant = replace(variant, target=str(place))
    else:
        roots = {variant.name: variant.target, **roots}
    return pack_value(variant, variant.name, roots)


def pack_value(value: Any, name: str, roots: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return any value as a JSON value that another process can `unpack_value`.

    `roots` are the functions and objects it refers to, by their names: the value itself by default. LoadError
    if it refers to something that lives in this process only; the variable is named.
    """
    roots = {name: value} if roots is None else roots
    with _local_modules_by_value():
        try:
            data = _dumps(value)
        except Exception as error:
            raise _explained(name, roots, error) from None
    text = base64.b64encode(data).decode()
    return {"value": text, "sys_path": sys.path, "sources": _sources(roots)}


def unpack_value(packed: dict[str, Any]) -> Any:
    """Rebuild a value, in the process that will use it."""
    sys.path[:] = packed["sys_path"]
    for file, lines in packed["sources"].items():
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
    return pickle.loads(base64.b64decode(packed["value"]))  # noqa: S301 - our parent's own


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


def _explained(name: str, roots: Mapping[str, Any], error: Exception) -> LoadError:
    said = f"'{name}' can't run in a process of its own:"
    for variable, holder, value in _captured(roots):
        try:
            _dumps(value)
        except _RefusedError as kind:
            step = "Make it in setup= (an async context manager) and take it from request.state."
            return LoadError(f"{said} {holder} uses {variable!r}, {kind} of this process. {step}")
        except Exception as failure:
            return LoadError(
                f"{said} {holder} uses {variable!r} ({type(value).__name__}), which can't be "
                f"copied there: {failure}. Make it in setup= and take it from request.state, or "
                "write the variant to a file and pass 'FILE.py:name'."
            )
    step = "Write it to a file and pass 'FILE.py:name', or pass a function that makes it."
    return LoadError(f"{said} {error}. {step}")


def _captured(roots: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
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
                methods = [one for one in vars(value).items() if isinstance(one[1], FunctionType)]
                left += [(key, f"{name}.{key}", part) for key, part in methods]
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
    """Return whether code of this module travels by value: nobody else could import it."""
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
        if spec is None or (
            top == name and spec.origin and os.path.realpath(spec.origin) != os.path.realpath(file)
        ):
            found.append(module)
    return found


@contextlib.contextmanager
def _local_modules_by_value() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for module in _local_modules():
            registered = module.__name__ in cloudpickle.list_registry_pickle_by_value()
            if not registered and sys.modules.get(module.__name__) is module:
                cloudpickle.register_pickle_by_value(module)
                stack.callback(cloudpickle.unregister_pickle_by_value, module)
        yield


def _sources(roots: Mapping[str, Any]) -> dict[str, list[str]]:
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
