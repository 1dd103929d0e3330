"""Memory layout of this interpreter's stacks, by version, tried on a known stack before it is used."""

import inspect
import json
import os
import platform
import struct
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from types import CodeType, FrameType
from typing import Any

from loopclinic.probe.remote_stack import (
    DEEPEST,
    GENERATOR,
    GoneError,
    Known,
    Layout,
    Memory,
    RemoteReader,
    Thread,
    UnreadableError,
    chain,
    holder,
    place,
)

PUBLISHED = (3, 13)  # from this version on, the interpreter publishes where things are
_MACHINES = ("x86_64", "aarch64")
_REMOTE = (3, 15)  # from this version on, CPython's own reader sees whole stacks and every name
# 3.14 has it too, but it leaves out all frames above the innermost call through C, and every
# character that is not ASCII (3.14.10): there our reader goes by what 3.14 publishes.

# Source: offsetof() over CPython's headers of 3.11.7 and 3.12.1, the same on x86-64 and arm64:
# pystate.h, code.h, unicodeobject.h and internal/pycore_{frame,gil,interp,runtime}.h.
LAYOUTS = {
    (3, 11): Layout(
        state_interpreter=16, state_native=160, state_frame=56,
        record_frame=8,
        frame_code=32, frame_previous=48, frame_instruction=56, frame_owner=69, frame_size=80,
        code_file=112, code_name=120, code_table=136, code_line=72, code_traceable=168, code_first=184,
        text_ascii=48, text_compact=72, interpreter_gil=-1, gil_holder=8, gil_locked=16,
    ),
    (3, 12): Layout(
        state_interpreter=16, state_native=144, state_frame=56,
        record_frame=0,
        frame_code=0, frame_previous=8, frame_instruction=56, frame_owner=70, frame_size=80,
        code_file=112, code_name=120, code_table=136, code_line=68, code_traceable=176, code_first=192,
        text_ascii=40, text_compact=56, interpreter_gil=384, gil_holder=8, gil_locked=16,
    ),
}  # fmt: skip
RUNTIME_GIL = 360  # 3.11: the only GIL, in _PyRuntime

# What _PyRuntime begins with: _Py_DebugOffsets in internal/pycore_runtime.h (3.13) and
# pycore_debug_offsets.h (3.14, 3.15), 64 bits each. What 3.14 added bears a "+", what 3.15 a "*".
_COOKIE = b"xdebugpy"
_STRUCTURES = {
    "runtime": "size finalizing interpreters_head",
    "interpreter": "size id next threads_head +threads_main gc modules sysdict builtins "
    "ceval_gil gil gil_enabled gil_locked gil_holder +code_generation +tlbc_generation",
    "state": "size prev next interpreter frame *base *profiled *profiled_count ident native chunk status "
    "*holds_gil *gil_requested *exception *exceptions",
    "exceptions": "*value",
    "frame": "size previous code instruction locals owner +stackpointer +tlbc",
    "code": "size file name qualname table line arguments localnames localkinds first +tlbc",
    "object": "size type",
    "type": "size name repr flags *basicsize *dictoffset",
    "heap_type": "*size *cached_keys",
    "tuple": "size item length",
    "list": "size item length",
    "set": "+size +used +table +mask",
    "dict": "size keys values",
    "float": "size value",
    "long": "size tag digit",
    "bytes": "size length value",
    "text": "size state length ascii",
}


def _fields(version: tuple[int, int]) -> list[str]:
    """Return the names of what this version publishes, in order."""
    return [
        "version",
        "free_threaded",
        *(
            f"{structure}.{name.lstrip('+*')}"
            for structure, names in _STRUCTURES.items()
            for name in names.split()
            if version >= _SINCE.get(name[0], PUBLISHED)
        ),
    ]


_SINCE = {"+": (3, 14), "*": (3, 15)}
_COMPACT = 16  # bytes more before the characters of a string that is not ASCII: length and UTF-8
_TRACEABLE = 16  # bytes between what says where a function is entered and its instructions


# Every kind of frame and of name: a coroutine, a generator, a call through C and one of a class, which
# the interpreter enters in its own way once it is warm; characters of one, two and four bytes.
_EXAMPLE = """
async def \u00e9t\u00e9(look):
    return \u0442\u0435\u0441\u0442(look)

def \u0442\u0435\u0441\u0442(look):
    (found,) = \U00010428(look)
    return found

def \U00010428(look):
    yield Called(
        look,
        look,
    )

class Called:
    def __init__(self, look, again):
        for _ in map(lambda again: look(), [again]): pass

def example(look):
    running = \u00e9t\u00e9(look)
    try:
        running.send(None)
    except StopIteration:
        running.close()
"""
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_WARM = 32  # calls
_VERSION = f"Python {sys.version.split()[0]}"
_ELSEWHERE = f"{_VERSION} keeps its stacks elsewhere than expected here"
_MISREAD = f"{_VERSION} reads its own stack otherwise than it is"


class LayoutError(RuntimeError):
    """This interpreter's stacks can't be read; the message says why."""


def refusal() -> str | None:
    """Return why no reader fits this interpreter, None if one does; nothing is read for it."""
    if sys.implementation.name != "cpython":
        return f"it takes CPython, and this is {platform.python_implementation()}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this Python is free-threaded: no thread can hold a GIL"
    if sys.version_info[:2] >= _REMOTE:
        if find_spec("_remote_debugging") is None:
            return f"{_VERSION} was built without the module _remote_debugging"
    elif platform.machine() not in _MACHINES:
        return f"it takes x86-64 or arm64 before Python 3.15, and this is {platform.machine()}"
    return None


@contextmanager
def own_memory() -> Iterator[int]:
    """Open this program's own memory, to read only.

    The kernel asks for rights when it is opened, not when it is read: a process that is given the
    descriptor may read this program, and nobody else may who could not before.

    Raises:
        OSError: the kernel does not let us.
    """
    # loopclinic: ignore[blocking-file-io] memory, not a disk
    descriptor = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def described(descriptor: int) -> str:
    """Return, as JSON, what it takes to read this program's stacks from outside: a `Known`, or null.

    Null stands for CPython's own reader, which needs nothing. Whichever it is, it has read a stack of
    the calling thread right, to the last line.

    Raises:
        LayoutError: no reader fits, or it read something else.
    """
    reason = refusal()
    if reason is not None:
        raise LayoutError(reason)
    own = Memory(descriptor)
    if sys.version_info[:2] >= _REMOTE:
        _prove_remote(RemoteReader(os.getpid(), own))
        return "null"
    library, state = _here()
    found = Known(_layout(library), state, 0, id(CodeType), id(str), id(bytes))
    try:
        found = found._replace(gil=_gil(own, found, library))
        _prove_memory(own, found)
    except (UnreadableError, GoneError):
        raise LayoutError(_ELSEWHERE) from None
    return json.dumps(found)


def _here() -> tuple[Any, int]:
    """Return the interpreter as a library, and where it keeps the state of the calling thread."""
    try:
        import ctypes  # a program without a witness needs none
    except ImportError:
        raise LayoutError("this interpreter was built without ctypes") from None
    library = ctypes.PyDLL(None)
    get = library["PyThreadState_Get"]  # not by attribute: that one would be everybody's
    get.restype = ctypes.c_void_p
    return library, int(get())


def _runtime(library: Any) -> int:
    import ctypes  # as above

    try:
        return ctypes.addressof(ctypes.c_char.in_dll(library, "_PyRuntime"))
    except ValueError:
        raise LayoutError("this interpreter does not say where its runtime is") from None


def _layout(library: Any) -> Layout:
    version = sys.version_info[:2]
    if version < PUBLISHED:
        return LAYOUTS[version]
    import ctypes  # as above

    return published(ctypes.string_at(_runtime(library), _head(version).size), version)


def _head(version: tuple[int, int]) -> struct.Struct:
    return struct.Struct(f"<8s{len(_fields(version))}Q")


def published_size(version: tuple[int, int]) -> int:
    """Return how many bytes of its _PyRuntime tell an interpreter's layout."""
    return _head(version).size


def published_offsets(begin: bytes, version: tuple[int, int]) -> dict[str, int]:
    """Return the numbers that an interpreter of this version publishes where its _PyRuntime begins.

    Raises:
        LayoutError: it publishes none, or in another form.
    """
    cookie, *numbers = _head(version).unpack(begin)
    at = dict(zip(_fields(version), numbers, strict=True))
    if cookie != _COOKIE or at["version"] >> 16 != version[0] << 8 | version[1]:
        raise LayoutError("this interpreter does not publish where it keeps its stacks")
    return at


def published(begin: bytes, version: tuple[int, int]) -> Layout:
    """Return the layout that an interpreter of this version publishes where its _PyRuntime begins.

    Raises:
        LayoutError: it publishes none, or in another form.
    """
    at = published_offsets(begin, version)
    derived = {
        "record_frame": -1,
        "code_traceable": at["code.first"] - _TRACEABLE,
        "text_compact": at["text.ascii"] + _COMPACT,
        "interpreter_gil": at["interpreter.ceval_gil"],
        "gil_holder": at["interpreter.gil_holder"] - at["interpreter.gil"],
        "gil_locked": at["interpreter.gil_locked"] - at["interpreter.gil"],
    }
    # The others bear the names of _STRUCTURES.
    plain = {name: at[name.replace("_", ".", 1)] for name in Layout._fields if name not in derived}
    return Layout(**plain, **derived)


def _gil(own: Memory, found: Known, library: Any) -> int:
    """Return where the GIL is that the calling thread holds."""
    layout = found.layout
    if layout.interpreter_gil < 0:
        return _runtime(library) + RUNTIME_GIL
    interpreter = own.word(found.state + layout.state_interpreter)
    return own.word(interpreter + layout.interpreter_gil)


class _Held(Memory):
    """This program's own memory, read without letting go of the GIL."""

    def __init__(self, own: Memory) -> None:
        self._own = own

    def read(self, address: int, size: int) -> bytes:
        """Return so many bytes, after a look whether they are there."""
        import ctypes  # as above

        self._own.read(address, size)
        return ctypes.string_at(address, size)


def _prove_memory(own: Memory, found: Known) -> None:
    """Read a stack that is known to the last line, and who holds the GIL.

    Raises:
        LayoutError: it was read otherwise.
        UnreadableError, GoneError: it was not there.
    """

    def read() -> list[tuple[str, int, str, bool]]:
        steps = chain(own, found, found.state)
        # What reads moves while it reads; below it nothing does.
        mine = [index for index, one in enumerate(steps) if one.code == id(read.__code__)]
        below = steps[mine[0] + 1 :] if mine else []
        return [
            (*one, step.owner == GENERATOR) for step in below if (one := place(own, found, step))
        ]

    if not _reads(read) or holder(_Held(own), found) != Thread(
        found.state, threading.get_native_id()
    ):
        raise LayoutError(_ELSEWHERE)


def _prove_remote(reader: RemoteReader) -> None:
    """Have CPython's own reader read a stack that is known to the last line.

    Raises:
        LayoutError: it read something else, or nothing.
    """
    holders: list[int] = []

    def read() -> list[tuple[str, int, str]]:
        found = reader.moving_stack()
        if found is None:
            return []
        holders.append(found[0])
        frames = found[1][::-1]
        name = read.__code__.co_name
        mine = [index for index, one in enumerate(frames) if one[::2] == (__file__, name)]
        return frames[mine[0] + 1 :] if mine else []

    if not _reads(read) or holders != [threading.get_native_id()]:
        raise LayoutError(_MISREAD)


def _reads(read: Callable[[], Sequence[tuple[Any, ...]]]) -> bool:
    """Return whether `read` returns its callers' frames, innermost first, as the interpreter knows them.

    Each as file, line, function and, if it can tell, whether that is a generator or a coroutine.
    """
    agreed: list[bool] = []

    def look() -> None:
        found = list(read()[1:])  # without this frame: its line changes meanwhile
        true = [one[: len(found[0])] for one in _frames(sys._getframe(1)) if found]  # noqa: SLF001 - the documented way
        whole = len(found) == len(true) or len(found) >= DEEPEST / 2
        agreed.append(whole and bool(found) and found == true[: len(found)])

    example: dict[str, Any] = {}
    exec(compile(_EXAMPLE, "<\U00010428>", "exec"), example)  # noqa: S102 - the text above
    for _ in range(_WARM):
        example["example"](lambda: None)
    example["example"](look)
    return agreed == [True]


def _frames(frame: FrameType | None) -> Iterator[tuple[str, int, str, bool]]:
    """Yield file, line, function, and whether it is a generator's or a coroutine's."""
    while frame is not None:
        code = frame.f_code
        kept = bool(code.co_flags & _GENERATORS)
        yield code.co_filename, frame.f_lineno or 0, code.co_name, kept
        frame = frame.f_back
