"""What each event loop of another process does at one moment: its state, its stack, and its tasks."""

import os
import struct
import time
from collections.abc import Hashable, Iterator
from typing import Literal, NamedTuple

from loopclinic.attached.remote_process import RemoteProcess, RemoteThread
from loopclinic.probe.census import Waiting
from loopclinic.probe.remote_stack import (
    GENERATOR,
    Span,
    Step,
    Thread,
    UnreadableError,
    bytes_at,
    chain,
    check_type,
    holder,
    position_at,
    text_at,
)

State = Literal["idle", "busy", "gil"]
_DEEPEST = 500  # frames that are followed to find the loop below a recursion
_SHOWN = 60  # frames that are read
_TRIES = 3
_DOUBTS = 30  # looks at a loop without such a frame until it is taken for one that has none
_WORD = struct.Struct("<Q")
_INT = struct.Struct("<i")
# From 3.14 on the lowest bits of a local variable say how its references are counted.
_UNTAGGED = ~7
_COROUTINE = 0x80 | 0x100 | 0x200  # inspect.CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR
_ENTRIES = 100_000  # of a dictionary or set: of more, what was read is none
_TASKS = 2000  # that are looked at
_KEY = "__asyncio_running_event_loop__"
_HOLDER = "RunningLoopHolder"
# Source: linux/x86_64 asm/unistd_64.h, and asm-generic/unistd.h for arm64.
# poll, select, epoll_wait, pselect6, ppoll, epoll_pwait, epoll_pwait2; futex.
_CALLS = {"x86_64": ({7, 23, 232, 270, 271, 281, 441}, 202), "aarch64": ({22, 72, 73, 441}, 98)}
_RUNS = (-1, 0)  # in no system call
# Source: uv_loop_t of libuv 1.x on Linux of 64 bits, as uvloop 0.21 to 0.23 have it.
_UV_DESCRIPTOR, _UV_TIME = 64, 544
_RESOLUTION = 0.02  # seconds: of the coarsest clock that is compared
_FUTURE_LOOP = 16  # of every C future: FutureObj_HEAD
_MODULE_DICT = 16
_SET_USED, _SET_MASK, _SET_TABLE = 24, 32, 40
_REFERENT = 16  # of a weak reference
_DICT_KEYS, _KEYS_KIND, _KEYS_INDEX, _KEYS_ENTRIES, _KEYS_BEGIN = 32, 10, 9, 24, 32
_GENERAL = 0  # kind of a dictionary with keys of any type


class SeenFrame(NamedTuple):
    """One frame as it was read."""

    file: str
    line: int
    function: str
    qualified: str
    """`Session.request`."""
    coroutine: bool
    span: Span | None


class Kept(NamedTuple):
    """Another thread that has the GIL, and where it is."""

    thread: int
    frames: tuple[SeenFrame, ...]
    """Outermost first."""
    steps: tuple[Step, ...]


class Look(NamedTuple):
    """What one loop did at one moment. Times are of the clock that all processes share, in seconds."""

    thread: RemoteThread
    loop: int
    """Address of the loop's object."""
    at: float
    state: State
    """`idle`: waits for events. `gil`: has its events, and waits for the GIL."""
    began: float | None
    """When its iteration began, None where the loop does not tell."""
    iteration: Hashable
    """Equal for two looks in one iteration; None where nothing tells."""
    frames: tuple[SeenFrame, ...]
    """Outermost first."""
    callback: tuple[int, int] | None
    """Which callback of the iteration ran, from 0, of how many."""
    steps: tuple[Step, ...]
    """The frames by address and instruction, innermost first: equal while nothing moves."""
    computes: bool | None
    """The thread runs, or could, and waits in no system call; None where the kernel does not tell."""
    holds_gil: bool
    kept: Kept | None
    """Who had the GIL while this thread rested or waited for a lock, which may be the GIL; else None."""


class _Code(NamedTuple):
    file: str
    name: str
    qualified: str
    table: bytes
    first: int
    flags: int
    names: dict[str, int]
    positions: dict[int, tuple[int, Span | None]]
    """Of the instructions that were asked for: to find one takes a walk through the table."""


class LoopReader:
    """Reads the loops of one process."""

    def __init__(self, process: RemoteProcess) -> None:
        self.process = process
        self._memory, self._known, self._at = process.memory, process.known, process.at
        self._code: dict[tuple[int, bytes], _Code] = {}
        self._kinds: dict[int, str] = {}
        self._keys: dict[int, bool] = {}  # by address of a string: whether it is _KEY
        self._uv: dict[int, int] = {}  # by loop: where its uv_loop_t is, 0 for another kind of loop
        self._python: set[int] = set()  # loops whose iterations have a frame
        self._broken: dict[int, int] = {}  # looks at which none was found
        self.unsure = False
        """Whether a loop runs that could not be read at the last look: it moved too much."""
        self._modules: dict[str, int] | None = None
        self._born = process.began
        self._polls, self._futex = _CALLS.get(os.uname().machine, (set(), -1))

    def looks(self) -> list[Look]:
        """Return what each running loop does now; GoneError once the process has ended."""
        for _ in range(_TRIES):
            try:
                threads = list(self.process.threads())
                break
            except UnreadableError:
                continue
        else:
            return []
        self.unsure = False
        return [look for thread in threads if (look := self._tried(thread)) is not None]

    def kind(self, loop: int) -> str:
        """Return the name of a loop's class."""
        try:
            return self._type_name(loop)
        except UnreadableError:
            return "an event loop"

    def _tried(self, thread: RemoteThread) -> Look | None:
        for _ in range(_TRIES):
            try:
                loop = self._running_loop(thread)
                return self._look(thread, loop) if loop else None
            except UnreadableError:
                continue
        self.unsure = True
        return None

    def _running_loop(self, thread: RemoteThread) -> int:
        """Return the address of the loop that runs on a thread, 0 if none does."""
        memory, at = self._memory, self._at
        if at.running_loop >= 0:
            return memory.word(thread.state + at.running_loop)
        if at.thread_dict < 0:
            # asyncio's file is out of reach: a loop written in Python is found by its frame.
            step = self._loop_step(tuple(chain(memory, self._known, thread.state, _DEEPEST)))
            return self._local(step, self._code_of(step.code).names.get("self")) if step else 0
        own = memory.word(thread.state + at.thread_dict)
        for key, value in self._items(own) if own else ():
            if key not in self._keys:
                self._keys[key] = self._text(key) == _KEY
            if self._keys[key]:
                held = _HOLDER in self._type_name(value)
                loop = memory.word(value + 16) if held else value
                return 0 if loop == self.process.none else loop
        return 0

    def _look(self, thread: RemoteThread, loop: int) -> Look:
        number = self.process.here(thread.native)
        before = self._system_call(number)
        keeper = holder(self._memory, self._known)
        steps = tuple(chain(self._memory, self._known, thread.state, _DEEPEST))
        at = time.monotonic()
        call = self._system_call(number)
        seen = [self._frame(step) for step in steps[:_SHOWN]]
        frames = [one for one in seen if one is not None]
        below = self._loop_step(steps)
        uv = self._uv_loop(loop)
        if below is not None:
            self._python.add(loop)
        elif len(steps) < _DEEPEST and not uv:
            # The chain of frames was broken while one was made, unless it is a loop of another kind.
            self._broken[loop] = self._broken.get(loop, 0) + 1
            if loop in self._python or (
                self._broken[loop] < _DOUBTS and "Event" in self.kind(loop)
            ):
                raise UnreadableError
        iteration, began, callback = None, None, None
        polls = before == call and call is not None and call[0] in self._polls
        if below is not None:
            iteration, began, callback = self._iteration(below, at)
            top = frames[0] if frames else None
            asks = top is not None and top.function == "select" and "selectors.py" in top.file
            inside = len(frames) > 1 and frames[1].function == "_run_once"
            rests = asks and inside
        elif uv:
            # libuv reads the clock once an iteration, in milliseconds.
            seconds = self._memory.word(uv + _UV_TIME) / 1000
            iteration = began = seconds if self._plausible(seconds, at) else None
            rests = not frames or _runs(frames[0])
            if not rests and polls and call is not None:
                rests = call[1] == _INT.unpack(self._memory.read(uv + _UV_DESCRIPTOR, 4))[0]
        else:
            rests = polls and (not frames or not frames[0].coroutine)
        state: State = "idle" if rests else "busy"
        mine = keeper is not None and keeper.state == thread.state
        kept = None
        waits = call is not None and call[0] == self._futex
        if keeper is not None and not mine and (waits or rests):
            kept = self._kept(keeper)
            if rests and not polls and waits and kept is not None:
                state = "gil"
        return Look(
            thread, loop, at, state, began, iteration, tuple(reversed(frames)), callback, steps,
            call is _RUNS if call is not None else None, mine, kept,
        )  # fmt: skip

    def _kept(self, thread: Thread) -> Kept | None:
        try:
            steps = tuple(chain(self._memory, self._known, thread.state, _DEEPEST))
            seen = [self._frame(step) for step in steps[:_SHOWN]]
        except UnreadableError:
            return None
        frames = tuple(one for one in reversed(seen) if one is not None)
        return Kept(thread.native, frames, steps) if frames else None

    def _loop_step(self, steps: tuple[Step, ...]) -> Step | None:
        """Return the frame of the innermost iteration of an asyncio loop written in Python."""
        for step in steps:
            code = self._code_of(step.code)
            if code.name == "_run_once" and code.file.endswith("base_events.py"):
                return step
        return None

    def _iteration(
        self, step: Step, now: float
    ) -> tuple[Hashable, float | None, tuple[int, int] | None]:
        """Return which iteration `_run_once` is in, when it began, and which callback of how many runs."""
        names = self._code_of(step.code).names
        ended = self._local(step, names.get("end_time"))
        began = self._float(ended)
        index, total = (self._int(self._local(step, names.get(name))) for name in ("i", "ntodo"))
        callback = (index, total) if index is not None and total else None
        return began, began if self._plausible(began, now) else None, callback

    def _plausible(self, moment: float | None, now: float) -> bool:
        """Return whether the clock of a loop can have shown this since its process began."""
        return moment is not None and self._born - _RESOLUTION <= moment <= now + _RESOLUTION

    def _local(self, step: Step, index: int | None) -> int:
        if index is None:
            return 0
        return self._memory.word(step.frame + self._at.frame_locals + 8 * index) & _UNTAGGED

    def _float(self, address: int) -> float | None:
        if not address:
            return None
        found = self._memory.read(address, 24)
        if _WORD.unpack_from(found, 8)[0] != self.process.float_type:
            return None
        return float(struct.unpack_from("<d", found, 16)[0])

    def _int(self, address: int) -> int | None:
        """Return a number below 2**30, as counts of callbacks are; None for what is none."""
        if not address:
            return None
        found = self._memory.read(address, 28)
        if _WORD.unpack_from(found, 8)[0] != self.process.int_type:
            return None
        (size,) = _WORD.unpack_from(found, 16)
        digits = size if self.process.version < (3, 12) else size >> 3
        if digits > 1:
            return None
        return int(_INT.unpack_from(found, 24)[0]) if digits else 0

    def _frame(self, step: Step) -> SeenFrame | None:
        """Return what a frame is, None if it was not entered yet."""
        code, layout = self._code_of(step.code), self._known.layout
        offset = step.instruction - step.code - layout.code_first
        entered = _INT.unpack(self._memory.read(step.code + layout.code_traceable, 4))[0]
        if step.owner != GENERATOR and offset < 2 * entered:
            return None
        if offset not in code.positions:
            code.positions[offset] = position_at(code.table, code.first, offset)
        line, span = code.positions[offset]
        kept = bool(code.flags & _COROUTINE)
        return SeenFrame(code.file, line, code.name, code.qualified, kept, span)

    def _code_of(self, address: int) -> _Code:
        """Return what a code object says, read once: its head is compared, for its place may be used again."""
        layout, at = self._known.layout, self._at
        head = self._memory.read(address, layout.code_first)
        check_type(head, self._known.code_type)
        # Without the count of references, and what the interpreter changes while it runs.
        key = address, head[8 : layout.code_file + 40]
        found = self._code.get(key)
        if found is None:
            words = {
                name: _WORD.unpack_from(head, where)[0]
                for name, where in (
                    ("file", layout.code_file),
                    ("name", layout.code_name),
                    ("qualified", at.code_qualname),
                    ("table", layout.code_table),
                    ("names", at.code_names),
                )
            }
            name = self._text(words["name"])
            found = _Code(
                self._text(words["file"]),
                name,
                self._text(words["qualified"]),
                bytes_at(self._memory, self._known, words["table"]),
                _INT.unpack_from(head, layout.code_line)[0],
                _INT.unpack_from(head, at.code_flags)[0],
                self._names(words["names"]) if name == "_run_once" else {},
                {},
            )
            self._code[key] = found
        return found

    def _names(self, address: int) -> dict[str, int]:
        size = self._memory.word(address + 16)
        if size > _ENTRIES:
            raise UnreadableError
        begin = address + self._at.tuple_items
        return {self._text(self._memory.word(begin + 8 * index)): index for index in range(size)}

    def _text(self, address: int) -> str:
        return text_at(self._memory, self._known, address)

    def _type_name(self, address: int) -> str:
        kind = self._memory.word(address + 8)
        if kind not in self._kinds:
            name = self._memory.word(kind + 24)  # tp_name, behind the head of an object with a size
            found = b""
            while b"\0" not in found and len(found) < 200:
                found += self._memory.read(name + len(found), 8)
            self._kinds[kind] = found.partition(b"\0")[0].decode(errors="replace")
        return self._kinds[kind]

    def _items(self, address: int) -> Iterator[tuple[int, int]]:
        """Yield the keys and values of a dictionary by address: dictobject.c, and pycore_dict.h."""
        keys = self._memory.word(address + _DICT_KEYS)
        head = self._memory.read(keys, _KEYS_BEGIN)
        (entries,) = _WORD.unpack_from(head, _KEYS_ENTRIES)
        if entries > _ENTRIES:
            raise UnreadableError
        width = 2 + (head[_KEYS_KIND] == _GENERAL)  # words: key, value; or a hash before them
        begin = keys + _KEYS_BEGIN + (1 << head[_KEYS_INDEX])
        rows = self._memory.read(begin, entries * width * 8) if entries else b""
        for row in struct.iter_unpack(f"<{width}Q", rows):
            if row[-1]:
                yield row[-2], row[-1]

    def _system_call(self, thread: int) -> tuple[int, int] | None:
        """Return the number of the system call that a thread is in and its first argument: proc(5), syscall.

        _RUNS while it runs, None where the kernel does not tell.
        """
        try:
            with open(f"/proc/{self.process.pid}/task/{thread}/syscall", "rb") as file:  # noqa: PTH123
                fields = file.read(64).split()
        except OSError:
            return None
        if len(fields) < 3 or not fields[0].isdigit():
            return None
        return int(fields[0]), int(fields[1], 16)

    def _uv_loop(self, loop: int) -> int:
        """Return where a loop of uvloop has its uv_loop_t, 0 for other loops.

        That one's first word leads back to the loop.
        """
        if loop not in self._uv:
            self._uv[loop] = 0
            if "uvloop" in self._type_name(loop) or self._type_name(loop) == "Loop":
                for (word,) in _WORD.iter_unpack(self._memory.read(loop + 16, 16 * 8)):
                    try:
                        if word % 8 == 0 and self._memory.word(word) == loop:
                            self._uv[loop] = word
                            break
                    except UnreadableError:
                        continue
        return self._uv[loop]

    def waiting(self, look: Look) -> Waiting | None:
        """Return how many other tasks than the one that runs a loop has, None where they can't be read."""
        found = self.tasks(look)
        return Waiting(found[0], found[1], ()) if found is not None and any(found) else None

    def tasks(self, look: Look) -> tuple[int, int, int] | None:
        """Return how many tasks of a loop await nothing, await something, and run; None if that can't be read."""
        try:
            tasks = set(self._tasks(look))
            running = self._running_task(look)
        except UnreadableError:
            return None
        ready = suspended = 0
        for task in tasks - {running}:
            try:
                if self._memory.word(task + _FUTURE_LOOP) != look.loop:
                    continue
                state = self._at.task_state
                if state >= 0 and self._memory.read(task + state, 4) != b"\0\0\0\0":
                    continue  # it is over
                if self._memory.word(task + self._at.task_waiter):
                    suspended += 1
                else:
                    ready += 1
            except UnreadableError:
                continue
        return ready, suspended, int(running in tasks)

    def _running_task(self, look: Look) -> int:
        if self._at.running_task >= 0:
            return self._memory.word(look.thread.state + self._at.running_task)
        for key, value in self._items(self._global("_current_tasks")):
            if key == look.loop:
                return value
        return 0

    def _tasks(self, look: Look) -> Iterator[int]:
        """Yield the tasks of a loop's thread, or of all where they are kept together; 2,000 at most."""
        if self._at.tasks >= 0:
            head = look.thread.state + self._at.tasks
            node = self._memory.word(head)
            for _ in range(_TASKS):
                if node in (head, 0):
                    return
                yield node - self._at.task_node
                node = self._memory.word(node)
            return
        names = ("_scheduled_tasks", "_all_tasks")
        weak = next((found for name in names if (found := self._global(name))), 0)
        table = self._set_in(weak)
        mask = self._memory.word(table + _SET_MASK)
        if mask > _ENTRIES:
            raise UnreadableError
        entries = self._memory.read(self._memory.word(table + _SET_TABLE), 16 * (mask + 1))
        seen = 0
        for reference, hash_ in struct.iter_unpack("<Qq", entries):
            if reference and hash_ != -1 and seen < _TASKS:
                seen += 1
                task = self._memory.word(reference + _REFERENT)
                if task != self.process.none:
                    yield task

    def _set_in(self, weak: int) -> int:
        """Return the set in a WeakSet: the first set among the values of its attributes.

        Source: pycore_object.h of 3.11 to 3.13, where an object of a Python class has them.
        """
        if not weak:
            raise UnreadableError
        if self.process.version < (3, 12):
            values = self._memory.word(weak - 32)
        elif self.process.version < (3, 13):
            values = self._memory.word(weak - 24) + 1
        else:
            values = weak + self._memory.word(self._memory.word(weak + 8) + 32) + 8
        for (value,) in _WORD.iter_unpack(self._memory.read(values, 8 * 8)):
            try:
                if value and self._memory.word(value + 8) == self.process.set_type:
                    return int(value)
            except UnreadableError:
                continue
        raise UnreadableError

    def _global(self, name: str) -> int:
        """Return the address of a global of asyncio.tasks, 0 if it has none of that name."""
        if self._modules is None:
            self._modules = {}
            interpreter = self._memory.word(self.process.runtime + self._at.interpreters)
            modules = self._memory.word(interpreter + self._at.modules)
            for key, value in self._items(modules):
                if self._text(key) == "asyncio.tasks":
                    names = self._memory.word(value + _MODULE_DICT)
                    self._modules = {self._text(one): held for one, held in self._items(names)}
        return self._modules.get(name, 0)


def _runs(frame: SeenFrame) -> bool:
    """Return whether a frame is the one that runs a loop."""
    runners = ("asyncio/runners.py", "uvloop/__init__.py")
    return frame.function == "run" and frame.file.endswith(runners)
