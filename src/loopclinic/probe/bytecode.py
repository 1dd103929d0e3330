"""Infers from bytecode which line kept the GIL, for a thread that was sampled only after that line.

CPython releases the GIL, when another thread asks for it, only where a function is entered, a loop
turns, or a call of C code returns. An operator that takes a second is followed by none of these, so
the stack that is read afterwards stands at one of them, often in the next function. From there the
instructions are searched backwards, as far as no other such place lies between.
"""

import dis
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FrameType, ModuleType
from typing import Any

from loopclinic.probe.frames import frame_of, lend, locals_of

_BIG = 4096  # bytes: an operand of this size can make an operator slow
_OPERATORS = frozenset(
    {
        *("BINARY_OP", "BINARY_SUBSCR", "BINARY_SLICE", "STORE_SLICE", "STORE_SUBSCR"),
        *("COMPARE_OP", "CONTAINS_OP", "UNARY_NEGATIVE", "UNARY_INVERT", "DELETE_SUBSCR"),
        *("LIST_EXTEND", "SET_UPDATE", "DICT_UPDATE", "DICT_MERGE", "LIST_TO_TUPLE"),
        *("FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC", "BUILD_STRING"),
        *("UNPACK_SEQUENCE", "UNPACK_EX", "CALL_INTRINSIC_1"),
    }
)
# Functions and methods of C, so quick that not they kept the GIL, but what went before them.
_QUICK = frozenset(
    [
        *("len", "print", "isinstance", "issubclass", "hasattr", "getattr", "setattr", "id"),
        *("type", "callable", "next", "iter", "append", "add", "get", "pop", "discard"),
        *("perf_counter", "monotonic", "time", "process_time", "thread_time", "get_running_loop"),
        *("current_task", "create_task", "call_soon", "call_later", "set_result", "done", "info"),
        *("debug",),
    ]
)
_NAMES = ("LOAD_GLOBAL", "LOAD_NAME")
_CALLS = ("CALL", "CALL_FUNCTION_EX", "CALL_KW")
_AWAITS = ("GET_AWAITABLE", "GET_YIELD_FROM_ITER")
_TURNS = ("JUMP_BACKWARD", "POP_JUMP_BACKWARD")
_STOPS = ("RESUME", "END_SEND", "SEND")
Line = tuple[CodeType, int]
"""The code of a function and a line in it."""


def at_entry(frame: FrameType) -> bool:
    """Return whether a function was entered only just now, and has run nothing of its own."""
    name, argument = _instruction(frame.f_code, frame.f_lasti)
    return name == "RESUME" and argument & 3 == 0


def held_line(frame: FrameType) -> tuple[FrameType, int] | None:
    """Return the frame and line that kept the GIL until a thread stood at the top `frame`.

    None where that is the call at which `frame` itself stands, or where nothing tells.
    """
    name, _ = _instruction(frame.f_code, frame.f_lasti)
    if name == "RESUME":
        caller = frame.f_back
        if caller is None:
            return None
        line = _line_before(caller.f_code, caller.f_lasti, caller)
        return caller, line or caller.f_lineno or 0
    if name.startswith(_TURNS) or (name in _CALLS and _quick(frame)):
        line = _line_before(frame.f_code, frame.f_lasti, frame)
        return (frame, line) if line else None
    return None


def returned_line(called: Any) -> Line | None:
    """Return the function and line that kept the GIL before a coroutine or function returned.

    Also that of a coroutine which began to wait. None for what is not written in Python.
    """
    while (inner := getattr(called, "cr_await", None)) is not None and hasattr(inner, "cr_code"):
        lend((inner,))
        called = inner
    code: CodeType | None = getattr(called, "cr_code", getattr(called, "__code__", None))
    if not isinstance(code, CodeType):
        return None
    frame = frame_of(called)
    if frame is not None:
        return code, _line_before(code, frame.f_lasti, frame) or frame.f_lineno or 0
    found = [
        line
        for one in _instructions(code)
        if one.opname.startswith("RETURN_") and one.opname != "RETURN_GENERATOR"
        if (line := _line_before(code, one.offset, None))
    ]
    return code, found[-1] if found else code.co_firstlineno


def _quick(frame: FrameType) -> bool:
    """Return whether the line at which a frame stands calls only functions that are known to be quick."""
    called = {
        str(one.argval)
        for one in _instructions(frame.f_code)
        if _line(one) == frame.f_lineno
        and one.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_METHOD", "LOAD_ATTR"))
        and not _module(one, frame)
    }
    return bool(called & _QUICK) and not any(_size_of(frame, name) >= _BIG for name in called)


def _line_before(code: CodeType, offset: int, frame: FrameType | None) -> int | None:
    """Return the line of the slowest instruction before `offset` that is followed by no release."""
    call: int | None = None
    unknown: int | None = None
    big: tuple[int, int] | None = None
    small: int | None = None
    attribute: int | None = None
    sizes = _sizes(frame)
    head = _loop_head(code, offset)
    for one, line in _backwards(code, offset):
        if attribute is not None and not _module(one, frame):
            call = call or attribute
        attribute = None
        # What stands before the loop ran long ago, unless this is its first turn.
        before_loop = one.offset < head
        if one.opname in _CALLS:
            call = call if before_loop else line
            break
        if one.opname == "LOAD_ATTR" and not _method(one) and not before_loop:
            attribute = line  # of a property, perhaps
        if one.opname not in _OPERATORS:
            continue
        size = sizes(code, line)
        if before_loop and (size or 0) < _BIG:
            continue
        if size is None:
            unknown = unknown or line
        elif size < _BIG:
            small = small or line
        elif big is None or size > big[0]:
            big = size, line
    return (big[1] if big else None) or unknown or call or small


def _backwards(code: CodeType, offset: int) -> Iterator[tuple[dis.Instruction, int]]:
    """Yield the instructions before `offset`, the last one first, with their lines.

    They end at a turn of a loop and where a function is entered or goes on, at each of which the GIL
    was released. The making of a coroutine that is awaited releases nothing and is left out.
    """
    awaited = False
    line = 0
    # The frame of a caller may stand at the end of its instruction.
    found = [one for one in _instructions(code) if one.offset <= offset][:-1]
    while found and found[-1].opname in ("SEND", "YIELD_VALUE"):
        found.pop()  # of an await that began to wait: it stands right after
    for one in reversed(found):
        if one.opname in _STOPS or one.opname.startswith(_TURNS):
            return
        line = _line(one) or line
        if one.opname in _AWAITS:
            awaited = True
        elif one.opname in _CALLS and awaited:
            awaited = False
        else:
            yield one, line


def _loop_head(code: CodeType, offset: int) -> int:
    """Return where the innermost loop around `offset` begins, 0 where there is none."""
    turns = (
        one
        for one in _instructions(code)
        if one.opname.startswith(_TURNS) and not one.opname.endswith("_NO_INTERRUPT")  # an await's
    )
    return max((one.argval for one in turns if one.argval <= offset <= one.offset), default=0)


@lru_cache(maxsize=64)
def _instructions(code: CodeType) -> tuple[dis.Instruction, ...]:
    return tuple(dis.get_instructions(code))


def _instruction(code: CodeType, offset: int) -> tuple[str, int]:
    """Return name and argument of the instruction at `offset`."""
    if offset < 0:
        return "RESUME", 0  # not begun yet
    raw = code.co_code
    while offset > 0 and dis.opname[raw[offset]] == "CACHE":
        offset -= 2
    return dis.opname[raw[offset]], raw[offset + 1]


def _line(one: dis.Instruction) -> int | None:
    """Return the line of an instruction, None if it has none."""
    return one.positions.lineno if one.positions is not None else None


def _method(one: dis.Instruction) -> bool:
    """Return whether an attribute is loaded only to be called: from 3.12 on its argument says so."""
    return sys.version_info >= (3, 12) and bool((one.arg or 0) & 1)


def _module(one: dis.Instruction, frame: FrameType | None) -> bool:
    """Return whether an instruction loads a module, whose attributes are no properties."""
    held = frame.f_globals.get(one.argval) if frame and one.opname in _NAMES else None
    return type(held) is ModuleType


def _sizes(frame: FrameType | None) -> Any:
    """Return a function that tells the size in bytes of the largest value a line names, or None."""

    def size(code: CodeType, line: int) -> int | None:
        names: set[str] = set()
        for one in _instructions(code):
            if _line(one) != line:
                continue
            if one.opname in _CALLS or one.opname.startswith(("LOAD_ATTR", "LOAD_METHOD")):
                return None
            argument = one.argval
            if one.opname.startswith(("LOAD_", "STORE_")):
                names.update(argument if isinstance(argument, tuple) else (argument,))
        if frame is None:
            return None
        return max((_size_of(frame, name) for name in names if isinstance(name, str)), default=0)

    return size


def _size_of(frame: FrameType, name: str) -> int:
    """Return the size of the value that a name has in a frame, in bytes."""
    (value,) = locals_of(frame, name)
    return _size(frame.f_globals.get(name) if value is None else value)


def _size(value: object) -> int:
    """Return the size of a built-in value in bytes, without running any code of the program's."""
    if type(value) in (int, str, bytes, bytearray, list, tuple, set, frozenset, dict):
        return sys.getsizeof(value)
    return 0
