"""Readers of another program's GIL holder and of its Python stack, from that program's memory.

The program goes on meanwhile: whatever was read may be half made or gone, and every reading can fail.
"""

import contextlib
import json
import os
import struct
from collections.abc import Callable, Hashable
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeVar

_FIRST_PAGE = 4096  # never mapped
_ANYWHERE = 1 << 32  # an address: of a program that is gone there is nothing at any
_WORD = struct.Struct("<Q")


class UnreadableError(Exception):
    """What was read makes no stack: the program went on meanwhile."""


class GoneError(Exception):
    """The program has ended, or has become another one by exec."""


class Memory:
    """A program's memory, through a descriptor of its /proc/PID/mem; nobody can write through it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, address: int, size: int) -> bytes:
        """Return so many bytes.

        Raises:
            UnreadableError: there are none, or fewer.
            GoneError: there is no such program any more.
        """
        if address < _FIRST_PAGE:
            raise UnreadableError
        try:
            # loopclinic: ignore[blocking-file-io] memory, not a disk
            found = os.pread(self._descriptor, size, address)
        except (OSError, OverflowError):
            raise UnreadableError from None
        if not found:
            raise GoneError  # proc(5): an address that is not mapped is an error instead
        if len(found) < size:
            raise UnreadableError
        return found

    def ensure(self) -> None:
        """Return if the program is still there.

        Raises:
            GoneError: it is not.
        """
        with contextlib.suppress(UnreadableError):
            self.read(_ANYWHERE, 1)

    def word(self, address: int) -> int:
        """Return the address, or whatever else of 64 bits, that stands there."""
        return int(_WORD.unpack(self.read(address, 8))[0])


Span = tuple[int, int, int, int]
"""Line, last line, column and last column of a piece of source; columns in bytes."""


def position_at(table: bytes, first: int, offset: int) -> tuple[int, Span | None]:
    """Return the line of the instruction at `offset` bytes, 0 if it has none, and its span if it has one.

    Source: CPython's Objects/locations.md (3.11: locations.md under PEP 626), the table of locations.

    Raises:
        UnreadableError: the table ends before.
    """
    if offset < 0:  # not begun yet
        return first, None
    line, at, end = first, 0, 0
    while at < len(table):
        entry, at = table[at], at + 1
        begun = at
        while at < len(table) and not table[at] & 0x80:  # that bit begins an entry
            at += 1
        kind = entry >> 3 & 15
        if kind in (13, 14):
            line += _signed(table[begun:at])
        elif 10 <= kind <= 12:  # the form says how many lines further
            line += kind - 10
        end += 2 * ((entry & 7) + 1)
        if offset < end:
            return (
                (line, _span(kind, line, table[begun:at])) if kind != 15 else (0, None)
            )  # no line
    raise UnreadableError


def _span(kind: int, line: int, rest: bytes) -> Span | None:
    """Return what the rest of an entry says of columns."""
    if kind < 10 and rest:
        column = kind * 8 + (rest[0] >> 4)
        return line, line, column, column + (rest[0] & 15)
    if kind <= 12 and len(rest) >= 2:
        return line, line, rest[0], rest[1]
    if kind == 14:
        _, lines, column, last = (*_numbers(rest), 0, 0, 0, 0)[:4]
        return (line, line + lines, column - 1, last - 1) if column and last else None
    return None


def _numbers(data: bytes) -> list[int]:
    """Return numbers of six bits a byte, lowest first."""
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 63) << shift
        shift += 6
        if not byte & 64:
            found.append(value)
            value = shift = 0
    return found


def _signed(numbers: bytes) -> int:
    """Return the first of some numbers, whose lowest bit is the sign."""
    value = next(iter(_numbers(numbers)), 0)
    return -(value >> 1) if value & 1 else value >> 1


DEEPEST = 60  # frames read of one stack: the outer end of a deep recursion says nothing new
_LONGEST = 4096  # characters of a file's or a function's name: what a path may have on Linux
_TABLE = 1 << 20  # bytes that tell the lines of one function
GENERATOR = 1  # owner of a frame that may rest before it is entered
_INT = struct.Struct("<i")
_ENCODINGS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
_SHIM = (
    3  # owner of a frame that C code keeps, and whatever is above: Include/internal/pycore_frame.h
)
_UNTAGGED = ~7  # from 3.14 on the lowest bits of a frame's code say how its references are counted
Read = TypeVar("Read")
Place = tuple[str, int, str]
"""File, line (0: none) and function of a frame."""


class Reader(Protocol):
    """Reads which thread of a program holds the GIL, and where that thread is.

    Threads are numbered as the kernel does. Both methods return None where no thread holds the GIL
    all the while, and raise GoneError once the program has ended.
    """

    def position(self) -> tuple[int, Hashable] | None:
        """Return the thread and a value that stays equal while it does not move."""

    def stack(self) -> tuple[int, list[Place]] | None:
        """Return the thread and its frames, outermost first."""


class Layout(NamedTuple):
    """Where CPython keeps what a stack is made of: bytes from the beginning of each structure."""

    state_interpreter: int
    state_native: int
    state_frame: int
    """Where a thread has its innermost frame, or what leads to it."""
    record_frame: int
    """Where that has it; -1 if the thread has it itself."""
    frame_code: int
    frame_previous: int
    frame_instruction: int
    frame_owner: int
    frame_size: int
    code_file: int
    code_name: int
    code_table: int
    code_line: int
    code_traceable: int
    """Where it says how many instructions come before its own first line is entered."""
    code_first: int
    """Where its instructions begin; whatever else is read of it stands before."""
    text_ascii: int
    text_compact: int
    """Where the characters of a string begin: only ASCII, or any."""
    interpreter_gil: int
    """Where an interpreter has its GIL's address; -1 if there is one GIL for all."""
    gil_holder: int
    gil_locked: int


class Known(NamedTuple):
    """What a program has told of itself: its layout, and addresses."""

    layout: Layout
    state: int
    """Of a thread that lives as long as anybody reads."""
    gil: int
    code_type: int
    text_type: int
    bytes_type: int


def of_json(text: str) -> Known | None:
    """Return what `json.dumps` made of a `Known` or of None.

    Raises:
        TypeError, ValueError: it was something else.
    """
    values = json.loads(text)
    if values is None:
        return None
    layout, *addresses = values
    return Known(Layout(*layout), *addresses)


class Thread(NamedTuple):
    """One of the program's threads: where its state is, and its number for the kernel."""

    state: int
    native: int


class Step(NamedTuple):
    """A frame on the way from the innermost one outwards."""

    frame: int
    code: int
    instruction: int
    owner: int


def holder(memory: Memory, known: Known) -> Thread | None:
    """Return who holds the GIL just now, None if nobody does.

    Raises:
        UnreadableError, GoneError: as for `Memory.read`.
    """
    layout = known.layout
    if _INT.unpack(memory.read(known.gil + layout.gil_locked, 4))[0] != 1:
        return None
    state = memory.word(known.gil + layout.gil_holder)
    return Thread(state, memory.word(state + layout.state_native))


class MemoryReader:
    """Reads a program whose layout is known, through a descriptor of its memory (a `Reader`)."""

    def __init__(self, memory: Memory, known: Known) -> None:
        self._memory, self._known = memory, known

    def position(self) -> tuple[int, Hashable] | None:
        """Return the thread that holds the GIL, with its frames and their instructions."""
        found = self._held(chain)
        return found and (found[0], tuple(found[1]))

    def stack(self) -> tuple[int, list[Place]] | None:
        """Return the thread that holds the GIL and its frames, outermost first."""
        return self._held(stack)

    def _held(
        self, read: Callable[[Memory, Known, int], list[Read]]
    ) -> tuple[int, list[Read]] | None:
        with contextlib.suppress(UnreadableError):
            thread = holder(self._memory, self._known)
            if thread is not None:
                found = read(self._memory, self._known, thread.state)
                if holder(self._memory, self._known) == thread:
                    return thread.native, found
        return None


def stack(memory: Memory, known: Known, state: int) -> list[Place]:
    """Return (file, line, function), outermost first, of a thread that does not move.

    Raises:
        UnreadableError: it does, or has ended.
        GoneError: there is no such program any more.
    """
    steps = chain(memory, known, state)
    found = [place(memory, known, step) for step in steps]
    if chain(memory, known, state) != steps:
        raise UnreadableError
    return [one for one in reversed(found) if one is not None]


def chain(memory: Memory, known: Known, state: int, deepest: int = DEEPEST) -> list[Step]:
    """Return the frames of a thread, innermost first and `deepest` at most, without what they mean.

    Raises:
        UnreadableError, GoneError: as for `Memory.read`.
    """
    layout = known.layout
    frame = memory.word(state + layout.state_frame)
    if layout.record_frame >= 0:
        frame = memory.word(frame + layout.record_frame)
    steps: list[Step] = []
    for _ in range(4 * deepest):  # with those that stand between Python's frames and C's
        if not frame or len(steps) == deepest:
            return steps
        found = memory.read(frame, layout.frame_size)
        owner = found[layout.frame_owner]
        if owner < _SHIM:
            (code,) = _WORD.unpack_from(found, layout.frame_code)
            (instruction,) = _WORD.unpack_from(found, layout.frame_instruction)
            steps.append(Step(frame, code & _UNTAGGED, instruction, owner))
        (frame,) = _WORD.unpack_from(found, layout.frame_previous)
    raise UnreadableError


def place(memory: Memory, known: Known, step: Step) -> Place | None:
    """Return file, line (0: none) and function of one frame, None if it was not entered yet.

    Raises:
        UnreadableError, GoneError: as for `Memory.read`.
    """
    layout = known.layout
    found = memory.read(step.code, layout.code_first)
    check_type(found, known.code_type)
    offset = step.instruction - step.code - layout.code_first
    (entered,) = _INT.unpack_from(found, layout.code_traceable)
    if step.owner != GENERATOR and offset < 2 * entered:
        return None  # nor is it shown by a traceback; the interpreter keeps such ones for itself
    file, name, table = (
        _WORD.unpack_from(found, where)[0]
        for where in (layout.code_file, layout.code_name, layout.code_table)
    )
    (first,) = _INT.unpack_from(found, layout.code_line)
    line, _ = position_at(bytes_at(memory, known, table), first, offset)
    return text_at(memory, known, file), line, text_at(memory, known, name)


def check_type(found: bytes, kind: int) -> None:
    """Return if what was found is an object of this type: it stands behind the count of references.

    Raises:
        UnreadableError: it is not.
    """
    if _WORD.unpack_from(found, 8)[0] != kind:
        raise UnreadableError


def bytes_at(memory: Memory, known: Known, address: int) -> bytes:
    """Return the content of a `bytes` object.

    Raises:
        UnreadableError, GoneError: it is none, or as for `Memory.read`.
    """
    found = memory.read(address, 32)  # references, type, length, hash
    check_type(found, known.bytes_type)
    (length,) = _WORD.unpack_from(found, 16)
    if not 0 < length <= _TABLE:
        raise UnreadableError
    return memory.read(address + 32, length)


def text_at(memory: Memory, known: Known, address: int) -> str:
    """Return the content of a `str` object.

    Raises:
        UnreadableError, GoneError: it is none, or as for `Memory.read`.
    """
    found = memory.read(address, 40)  # references, type, length, hash, state
    check_type(found, known.text_type)
    length, state = _WORD.unpack_from(found, 16)[0], _INT.unpack_from(found, 32)[0]
    # How it is interned (2 bits), bytes a character (3), whether these follow at once, and are ASCII.
    width, compact, ascii_only = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
    if not compact or width not in _ENCODINGS or length > _LONGEST:
        raise UnreadableError
    if not length:
        return ""
    begin = known.layout.text_ascii if ascii_only else known.layout.text_compact
    characters = memory.read(address + begin, length * width)
    try:
        return characters.decode(_ENCODINGS[width], "surrogatepass")
    except UnicodeDecodeError:
        raise UnreadableError from None


_MAIN = 0  # the interpreter that loops are watched in
_UNREADABLE = (RuntimeError, OSError, ValueError, MemoryError, OverflowError)


class RemoteReader:
    """Reads a program that runs the same Python, by its process's number (a `Reader`).

    The kernel must let this process trace that one: the same user, and no rule against it.
    `memory` tells when the program has ended or has become another one by exec.

    Raises:
        PermissionError: the kernel does not allow it.
        OSError, RuntimeError: there is no such process, or it is no such Python.
    """

    def __init__(self, pid: int, memory: Memory) -> None:
        # Private to CPython: what it gives is proved at the start, by `layout.described`.
        module = import_module("_remote_debugging")
        self._unwinder = module.RemoteUnwinder(pid, only_active_thread=True)
        self._memory = memory

    def position(self) -> tuple[int, Hashable] | None:
        """Return the thread that holds the GIL, with its frames to the column."""
        found = self._read()
        return found and (found[0], tuple(map(tuple, found[1])))

    def stack(self) -> tuple[int, list[Place]] | None:
        """Return the thread that holds the GIL and its frames, outermost first."""
        found = self._read()
        return _places(found) if found == self._read() else None

    def moving_stack(self) -> tuple[int, list[Place]] | None:
        """Return the same of a thread that may move meanwhile, as the calling one does."""
        return _places(self._read())

    def _read(self) -> tuple[int, list[Any]] | None:
        self._memory.ensure()
        try:
            interpreters = self._unwinder.get_stack_trace()
        except _UNREADABLE:  # it moved meanwhile
            return None
        for interpreter in interpreters:  # each has a GIL of its own
            if interpreter.interpreter_id == _MAIN:
                for thread in interpreter.threads:
                    return thread.thread_id, thread.frame_info
        return None


def _places(found: tuple[int, list[Any]] | None) -> tuple[int, list[Place]] | None:
    """Return what was read of a thread in plain values."""
    if found is None:
        return None
    # CPython calls some __init__ through a frame of its own, without a line.
    frames = [frame for frame in found[1] if frame.location is None or frame.location.lineno >= 0]
    return found[0], [_place(frame) for frame in reversed(frames[:DEEPEST])]


def _place(frame: Any) -> Place:
    """Return file, line and the plain name of a function, as its code has it."""
    line = frame.location.lineno if frame.location is not None else 0
    return frame.filename, line, frame.funcname.rpartition(".")[2]
