"""Opens another process's memory to read only and finds its interpreter in it, or says why it can't be read."""

import os
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

from loopclinic.attached.elf import MACHINES, Elf, ElfError
from loopclinic.attached.rights import AttachError, refused, status
from loopclinic.probe.layout import (
    LAYOUTS,
    PUBLISHED,
    RUNTIME_GIL,
    LayoutError,
    published,
    published_offsets,
    published_size,
)
from loopclinic.probe.remote_stack import GoneError, Known, Layout, Memory, UnreadableError

OLDEST, NEWEST = (3, 11), (3, 15)
_TYPES = ("PyCode_Type", "PyUnicode_Type", "PyBytes_Type")
_VALUES = ("PyFloat_Type", "PyLong_Type", "PySet_Type", "_Py_NoneStruct")
_SYMBOLS = ("_PyRuntime", "Py_Version", *_TYPES, *_VALUES)
_MANY = 10_000  # threads or interpreters: of more, what was read is no list of them
_ASYNCIO = ".AsyncioDebug"
_ASYNCIO_FIELDS = 13


class Offsets(NamedTuple):
    """Where CPython keeps what leads from a process to its loops and tasks, in bytes; -1 for nowhere."""

    interpreters: int
    interpreter_next: int
    threads: int
    modules: int
    thread_next: int
    thread_dict: int
    running_loop: int
    """In a thread's state; up to 3.12 it is in the thread's dictionary."""
    running_task: int
    tasks: int
    """The list of its tasks in a thread's state; up to 3.13 asyncio keeps a set."""
    task_node: int
    frame_locals: int
    code_qualname: int
    code_names: int
    code_flags: int
    tuple_items: int
    task_waiter: int
    task_state: int


# Source: as for `LAYOUTS`, and offsetof() of TaskObj in Modules/_asynciomodule.c of 3.11.7, 3.12.1 and 3.13.0.
_TASKS = {(3, 13): (112, 96)}  # waiter, state
_UNPUBLISHED = {
    (3, 11): Offsets(
        interpreters=40, interpreter_next=0, threads=16, modules=888, thread_next=8, thread_dict=128,
        running_loop=-1, running_task=-1, tasks=-1, task_node=-1, frame_locals=72, code_qualname=128,
        code_names=96, code_flags=48, tuple_items=24, task_waiter=128, task_state=88,
    ),
    (3, 12): Offsets(
        interpreters=40, interpreter_next=0, threads=72, modules=944, thread_next=8, thread_dict=112,
        running_loop=-1, running_task=-1, tasks=-1, task_node=-1, frame_locals=72, code_qualname=128,
        code_names=96, code_flags=48, tuple_items=24, task_waiter=128, task_state=88,
    ),
}  # fmt: skip


class RemoteThread(NamedTuple):
    """A thread that has run Python: where its state is, its interpreter's, and its number for the kernel."""

    state: int
    interpreter: int
    native: int


class RemoteProcess:
    """One process that is read from outside, without writing or running anything in it; AttachError if it can't be."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.executable = _checked(pid)
        self.began = began(pid)
        self._numbers: dict[int, int] = {}
        try:
            # loopclinic: ignore[blocking-file-io] memory, not a disk
            self._descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _gone(pid) from None
        except OSError:
            raise refused(pid) from None
        self.memory = Memory(self._descriptor)
        try:
            self._find()
        except AttachError:
            self.close()
            raise
        except GoneError:
            self.close()
            raise _gone(pid) from None
        except (UnreadableError, OSError):
            self.close()
            raise AttachError(
                "layout",
                f"process {pid} runs Python {self.release or '?'}, whose memory is not laid out as that of "
                "CPython's usual builds: a debug build, perhaps. Run the program with loopclinic run.",
            ) from None

    def close(self) -> None:
        """Close the descriptor of the process's memory."""
        os.close(self._descriptor)

    def threads(self) -> Iterator[RemoteThread]:
        """Yield the threads of all interpreters, those first that began last; errors are those of `Memory.read`."""
        at, layout, memory = self.at, self.known.layout, self.memory
        interpreter = memory.word(self.runtime + at.interpreters)
        for _ in range(_MANY):
            if not interpreter:
                return
            state = memory.word(interpreter + at.threads)
            for _ in range(_MANY):
                if not state:
                    break
                if memory.word(state + layout.state_interpreter) != interpreter:
                    raise UnreadableError
                yield RemoteThread(state, interpreter, memory.word(state + layout.state_native))
                state = memory.word(state + at.thread_next)
            interpreter = memory.word(interpreter + at.interpreter_next)

    def path(self, file: str) -> str:
        """Return where this process reads a file that the other one names, in whatever root that has."""
        if not file.startswith("/"):
            return f"/proc/{self.pid}/cwd/{file}"
        return f"/proc/{self.pid}/root{file}"

    release = ""
    """`3.12.1`."""

    def _find(self) -> None:
        mapped = list(_mapped(self.pid, self.executable))
        addresses: dict[str, int] = {}
        for path, start in mapped:
            elf = self._elf(path)
            if elf is None:
                continue
            shift = 0 if elf.fixed else start - elf.base
            addresses = {name: shift + at for name, at in elf.symbols(_SYMBOLS).items()}
            if "_PyRuntime" in addresses:
                break
        if "_PyRuntime" not in addresses:
            raise _no_python(self.pid, self.executable, mapped)
        if "Py_Version" not in addresses:
            raise _too_old(self.pid, "older than 3.11")
        number = self.memory.word(addresses["Py_Version"])
        self.version = number >> 24 & 255, number >> 16 & 255
        self.release = f"{self.version[0]}.{self.version[1]}.{number >> 8 & 255}"
        if self.version < OLDEST:
            raise _too_old(self.pid, self.release)
        if self.version > NEWEST:
            raise AttachError(
                "version",
                f"process {self.pid} runs Python {self.release}, which is newer than this loopclinic: it "
                "reads 3.11 to 3.15. Update loopclinic.",
            )
        self.runtime = addresses["_PyRuntime"]
        layout, self.at = self._layout()
        interpreter = self.memory.word(self.runtime + self.at.interpreters)
        if not interpreter:
            why = "has not started its Python yet, or is ending: try again."
            raise AttachError("moment", f"process {self.pid} {why}")
        gil = self.runtime + RUNTIME_GIL
        if layout.interpreter_gil >= 0:
            gil = self.memory.word(interpreter + layout.interpreter_gil)
        self.known = Known(layout, 0, gil, *(addresses[name] for name in _TYPES))
        self.float_type, self.int_type, self.set_type, self.none = (
            addresses[name] for name in _VALUES
        )
        if not any(self.here(one.native) for one in self.threads()):
            raise UnreadableError

    def here(self, native: int) -> int:
        """Return a thread's number for this process, which has another PID namespace, perhaps; 0 if it ended."""
        if native not in self._numbers:
            self._numbers = {}
            for one in Path(f"/proc/{self.pid}/task").iterdir():
                number = status(f"{self.pid}/task/{one.name}").get("NSpid", one.name).split()[-1]
                self._numbers[int(number)] = int(one.name)
            self._numbers.setdefault(native, 0)
        return self._numbers[native]

    def _layout(self) -> tuple[Layout, Offsets]:
        version = self.version
        if version < PUBLISHED:
            return LAYOUTS[version], _UNPUBLISHED[version]
        begin = self.memory.read(self.runtime, published_size(version))
        try:
            layout, found = published(begin, version), published_offsets(begin, version)
        except LayoutError:
            raise UnreadableError from None
        if found["free_threaded"]:
            raise AttachError(
                "free-threaded",
                f"process {self.pid} runs a free-threaded Python {self.release}, whose stacks are kept "
                "otherwise: run the program on a Python with the GIL to look into it.",
            )
        loop, task, tasks, node, coroutine = self._asyncio()
        if version == PUBLISHED:  # behind the rest: _PyThreadStateImpl in pycore_tstate.h
            loop = found["state.size"]
        # From 3.14 on what a task awaits stands before its coroutine, and tasks that are over are in no list.
        waiter, state = _TASKS.get(version, (coroutine - 8, -1))
        return layout, Offsets(
            found["runtime.interpreters_head"], found["interpreter.next"],
            found["interpreter.threads_head"], found["interpreter.modules"], found["state.next"],
            -1, loop, task, tasks, node, found["frame.locals"],
            found["code.qualname"], found["code.localnames"], found["code.arguments"] - 4,
            found["tuple.item"], waiter, state,
        )  # fmt: skip

    def _asyncio(self) -> tuple[int, int, int, int, int]:
        """Return what asyncio publishes from 3.14 on: loop, task, tasks of a thread; node, coroutine of a task."""
        if self.version > PUBLISHED:
            for path, start in _mapped(self.pid, self.executable, "_asyncio."):
                elf = self._elf(path)
                at = elf.section(_ASYNCIO) if elf is not None else None
                if elf is None or at is None:
                    continue
                shift = 0 if elf.fixed else start - elf.base
                # Source: Py_AsyncioModuleDebugOffsets in Modules/_asynciomodule.c of 3.14.
                found = self.memory.read(at + shift, 8 * _ASYNCIO_FIELDS)
                values = struct.unpack(f"<{_ASYNCIO_FIELDS}Q", found)
                return values[10], values[11], values[12], values[6], values[5]
        return -1, -1, -1, -1, -1

    def _elf(self, path: str) -> Elf | None:
        names = [f"/proc/{self.pid}/root{path}", path]  # in a chroot, maps has our own names
        if path == self.executable:
            names.insert(0, f"/proc/{self.pid}/exe")  # still there when the file was replaced
        for name in names:
            try:
                elf = Elf(name)
            except (OSError, struct.error, ValueError) as error:
                if isinstance(error, ElfError) and error.narrow:
                    raise AttachError(
                        "32-bit",
                        f"process {self.pid} is a program of 32 bits, and attach reads those of 64: run it "
                        "with loopclinic run.",
                    ) from None
                continue
            if elf.machine not in MACHINES:
                raise AttachError(
                    "machine",
                    f"process {self.pid} is made for another processor than x86-64 and arm64: run the "
                    "program with loopclinic run.",
                )
            return elf
        return None


def began(pid: int) -> float:
    """Return when a process began, by the clock of `time.monotonic`: proc(5), the 22nd field of its stat.

    Up to 10 ms early; 0 if there is no such process.
    """
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    # Both count from the start of the machine; the first also while it sleeps.
    slept = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return ticks / os.sysconf("SC_CLK_TCK") - slept


def _checked(pid: int) -> str:
    """Return the file that a process runs; AttachError if there is nothing to attach to."""
    if sys.platform != "linux":
        raise AttachError(
            "system",
            "attach reads a process through Linux's /proc, which macOS and Windows do not have: start the "
            "program with loopclinic run.",
        )
    if pid == os.getpid():
        why = "is this one: in it, loopclinic.Scope shows its loop."
        raise AttachError("itself", f"process {pid} {why}")
    state = status(pid).get("State", "")
    if not state:
        raise _gone(pid)
    if state.startswith(("Z", "X")):
        raise AttachError("gone", f"process {pid} has ended; its parent has not collected it yet.")
    try:
        return str(Path(f"/proc/{pid}/exe").readlink()).removesuffix(" (deleted)")
    except FileNotFoundError:
        why = "is a part of the kernel, and runs no Python."
        raise AttachError("no-python", f"process {pid} {why}") from None
    except OSError:
        raise refused(pid) from None


def _gone(pid: int) -> AttachError:
    return AttachError("gone", f"there is no process {pid}.")


def _too_old(pid: int, release: str) -> AttachError:
    return AttachError(
        "version",
        f"process {pid} runs Python {release}, and attach reads 3.11 to 3.15: py-spy dump --pid {pid} "
        "shows its stack.",
    )


def _no_python(pid: int, executable: str, mapped: list[tuple[str, int]]) -> AttachError:
    names = " ".join([executable, *(path for path, _ in mapped)]).lower()
    if "pypy" in names:
        why = "runs PyPy, and attach reads CPython 3.11 to 3.15."
        return AttachError("implementation", f"process {pid} {why}")
    return AttachError(
        "no-python",
        f"process {pid} ({PurePath(executable).name}) runs no CPython whose symbols can be found. Is it the "
        "program itself, and not a shell or a launcher above it?",
    )


def _mapped(pid: int, executable: str, more: str = "") -> Iterator[tuple[str, int]]:
    """Yield the executable, then the libraries of Python, each with its first address; AttachError if it is closed to us."""
    found: dict[str, int] = {}
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            for line in file:
                fields = line.rstrip("\n").split(maxsplit=5)
                if len(fields) == 6 and fields[5].startswith("/"):
                    path = fields[5].removesuffix(" (deleted)")
                    begin = int(fields[0].partition("-")[0], 16) - int(fields[2], 16)
                    found.setdefault(path, begin)
    except PermissionError:
        raise refused(pid) from None
    except OSError:
        raise _gone(pid) from None
    if executable in found:
        yield executable, found[executable]
    wanted = ("libpython3", "libpypy", *([more] if more else []))
    for path, begin in found.items():
        name = PurePath(path).name
        if path != executable and name.startswith(wanted):
            yield path, begin
