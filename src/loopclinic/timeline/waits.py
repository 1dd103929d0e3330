"""Where a suspended task waits, and for what: the user's line and a word such as `lock` or `sleep`."""

import asyncio
import linecache
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import CodeType, CoroutineType, GeneratorType
from typing import Any

from loopclinic.probe.census import links
from loopclinic.probe.stack import cell_label, user_code

_DEEPEST = 60  # coroutines of one chain
_NO_MORE = {"NoneType", "FutureIter"}
_IO = ("streams.py", "selector_events.py", "proactor_events.py", "base_events.py", "sslproto.py")
_KINDS = {
    "locks.py": {
        "Lock": "lock",
        "Semaphore": "semaphore",
        "Event": "event",
        "Condition": "condition",
        "Barrier": "barrier",
    },
    "queues.py": {"Queue": "queue"},
    "tasks.py": {"sleep": "sleep"},
    "taskgroups.py": {"TaskGroup": "its task group"},
    "threads.py": {"to_thread": "thread"},
    "subprocess.py": {"": "process"},
    "base_subprocess.py": {"": "process"},
    **{module: {"": "I/O"} for module in _IO},
}
"""By module of asyncio: the class or function that waits, and what for; empty is any of it."""


Pause = tuple[CodeType | None, int, str]
"""Where a task is suspended, code and instruction, which become a line when it is drawn; and what it waits for."""


def pause_of(coroutine: Any, waiter: Any) -> Pause:
    """Return where a suspended task stands: the innermost line of the user's own, and what it waits for."""
    inner = last = coroutine
    mine = code = None
    while True:  # by hand, since it is done after each step
        if type(inner) is CoroutineType:
            last, code = inner, inner.cr_code
            if user_code(code.co_filename):
                mine = inner
            inner = inner.cr_await
        elif type(inner) is GeneratorType:
            last, code = inner, inner.gi_code
            inner = inner.gi_yieldfrom
        else:
            break
    frame = getattr(mine or coroutine, "cr_frame", None)
    if type(inner).__name__ not in _NO_MORE:  # a Cython coroutine, an asynchronous generator
        for _, code, standing in islice(links(last), _DEEPEST):
            if standing is not None and user_code(code.co_filename):
                frame = standing
    kind = "its turn"
    if waiter is not None:
        kind = _kind(code.co_filename, code.co_qualname) if code else ""
        kind = kind or _waiter_kind(waiter)
    return (code, -1, kind) if frame is None else (frame.f_code, frame.f_lasti, kind)


@lru_cache(4096)
def _kind(file: str, function: str) -> str:
    """Return what the innermost coroutine waits for, where its name or its package tells."""
    path = Path(file)
    if path.parent.name == "asyncio":
        names = _KINDS.get(path.name, {})
        return names.get(function.partition(".")[0], names.get("", ""))
    return path.as_posix().partition("/site-packages/")[2].partition("/")[0]


def _waiter_kind(waiter: Any) -> str:
    """Return what a future stands for: a task, several, a thread's result, or just a future."""
    if isinstance(waiter, asyncio.Task):
        return f"task {waiter.get_name()}"
    if type(waiter).__name__ == "_GatheringFuture":
        return "several tasks"
    callbacks = getattr(waiter, "_callbacks", None) or ()
    names = {getattr(one[0], "__qualname__", "") for one in callbacks}
    return "thread" if "_chain_future.<locals>._call_check_cancel" in names else "future"


@lru_cache(4096)
def line_of(code: CodeType | None, instruction: int) -> tuple[str, str]:
    """Return the place of an instruction in words, `app.py:12` or `cell [5], line 3`, and its source."""
    if code is None:
        return "", ""
    positions = islice(code.co_positions(), max(0, instruction) // 2, None)
    line = next(positions, (None,))[0] if instruction >= 0 else None
    line = line or code.co_firstlineno
    cell = cell_label(code.co_filename)
    where = f"{cell}, line {line}" if cell else f"{Path(code.co_filename).name}:{line}"
    return where, linecache.getline(code.co_filename, line).strip()
