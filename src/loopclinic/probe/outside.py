"""Readers of another program's GIL holder and of its Python stack, from that program's memory.

The program goes on meanwhile: whatever was read may be half made or gone, and every reading can fail.
"""

import contextlib
import json
import struct
from collections.abc import Callable, Hashable
from typing import NamedTuple, Protocol, TypeVar

from loopclinic.probe.linetable import line_at
from loopclinic.probe.memory import Memory, UnreadableError

__all__ = [
    "DEEPEST",
    "GENERATOR",
    "Known",
    "Layout",
    "MemoryReader",
    "Place",
    "Reader",
    "Step",
    "Thread",
    "chain",
    "holder",
    "of_json",
    "place",
    "stack",
]

DEEPEST = 60  # frames read of one stack: the outer end of a deep recursion says nothing new
_STEPS = 4 * DEEPEST  # with those that stand between Python's frames and C's
_LONGEST = 4096  # characters of a file's or a function's name: what a path may have on Linux
_TABLE = 1 << 20  # bytes that tell the lines of one function
GENERATOR = 1  # owner of a frame that may rest before it is entered
_WORD = struct.Struct("<Q")
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


def chain(memory: Memory, known: Known, state: int) -> list[Step]:
    """Return the frames of a thread, innermost first, without what they mean.

    Raises:
        UnreadableError, GoneError: as for `Memory.read`.
    """
    layout = known.layout
    frame = memory.word(state + layout.state_frame)
    if layout.record_frame >= 0:
        frame = memory.word(frame + layout.record_frame)
    steps: list[Step] = []
    for _ in range(_STEPS):
        if not frame or len(steps) == DEEPEST:
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
    _check(found, known.code_type)
    offset = step.instruction - step.code - layout.code_first
    (entered,) = _INT.unpack_from(found, layout.code_traceable)
    if step.owner != GENERATOR and offset < 2 * entered:
        return None  # nor is it shown by a traceback; the interpreter keeps such ones for itself
    file, name, table = (
        _WORD.unpack_from(found, where)[0]
        for where in (layout.code_file, layout.code_name, layout.code_table)
    )
    (first,) = _INT.unpack_from(found, layout.code_line)
    line = line_at(_bytes(memory, known, table), first, offset)
    return _text(memory, known, file), line, _text(memory, known, name)


def _check(found: bytes, kind: int) -> None:
    """See that what was found is an object of this type: it stands behind the count of references."""
    if _WORD.unpack_from(found, 8)[0] != kind:
        raise UnreadableError


def _bytes(memory: Memory, known: Known, address: int) -> bytes:
    found = memory.read(address, 32)  # references, type, length, hash
    _check(found, known.bytes_type)
    (length,) = _WORD.unpack_from(found, 16)
    if not 0 < length <= _TABLE:
        raise UnreadableError
    return memory.read(address + 32, length)


def _text(memory: Memory, known: Known, address: int) -> str:
    found = memory.read(address, 40)  # references, type, length, hash, state
    _check(found, known.text_type)
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
