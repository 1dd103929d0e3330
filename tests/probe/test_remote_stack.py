"""A stack that is read in another program's memory."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from loopclinic.probe.remote_stack import (
    DEEPEST,
    GoneError,
    Memory,
    MemoryReader,
    UnreadableError,
    holder,
    of_json,
    stack,
)
from loopclinic.probe.witness import Witness

pytestmark = [
    pytest.mark.skipif(Witness.unsuitable() is not None, reason=str(Witness.unsuitable())),
    pytest.mark.skipif(sys.version_info >= (3, 15), reason="CPython's own reader reads 3.15"),
]

READS = 2000
BEGIN = """
import sys, threading, time
from loopclinic.probe.layout import described, own_memory
with own_memory() as memory:
    print(described(memory), flush=True)
"""


@contextmanager
def program(code):
    """Run a program; give it, its memory and what it has said of itself."""
    lines = [sys.executable, "-c", BEGIN + code]
    with subprocess.Popen(lines, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        known = of_json(process.stdout.readline())
        descriptor = os.open(f"/proc/{process.pid}/mem", os.O_RDONLY)
        try:
            yield process, Memory(descriptor), known
        finally:
            os.close(descriptor)
            process.kill()


def eventually(read):
    """Read until it is to be had."""
    end = time.perf_counter() + 20
    while time.perf_counter() < end:
        try:
            if found := read():
                return found
        except UnreadableError:
            pass
        time.sleep(0.005)
    return pytest.fail("nothing was to be read in 20 s")


def keeper(memory, known):
    """The kernel's number of the thread that holds the GIL."""
    found = holder(memory, known)
    return found.native if found is not None else None


def functions(memory, known):
    return [function for _, _, function in stack(memory, known, known.state)]


def waiting(memory, known, function):
    """Return the stack of the program's thread once it waits in `function`."""

    def read():
        found = stack(memory, known, known.state)
        return found if found[-1][2] == function else None

    return eventually(read)


def test_every_frame_is_read_with_its_file_line_and_name():
    code = """
import asyncio

def тест(): time.sleep(60)

class Müller:
    def __init__(self, value):
        list(map(
            lambda _: тест(),
            [value],
        ))

def 𐐨():
    yield Müller(1)

async def été():
    return [one for one in 𐐨()]

asyncio.run(été())
"""
    with program(code) as (_, memory, known):
        found = waiting(memory, known, "тест")
    lines = (BEGIN + code).splitlines()
    mine = [
        (name, lines[line - 1].strip())
        for file, line, name in found
        if file == "<string>" and name not in ("<listcomp>", "<module>")
    ]
    assert mine == [
        ("été", "return [one for one in 𐐨()]"),
        ("𐐨", "yield Müller(1)"),
        ("__init__", "list(map("),
        ("<lambda>", "lambda _: тест(),"),
        ("тест", "def тест(): time.sleep(60)"),
    ]
    assert found[0][2] == "<module>"
    assert "_run_once" in [name for _, _, name in found]


def test_of_a_deep_recursion_the_inner_end_is_read():
    code = """
def down(left):
    if left: down(left - 1)
    else: wait()
def wait(): time.sleep(60)
down(500)
"""
    with program(code) as (_, memory, known):
        found = waiting(memory, known, "wait")
    assert [name for _, _, name in found] == ["down"] * (DEEPEST - 1) + ["wait"]


FULL_SPEED = """
import threading

def work():
    rounds = 0
    while not ended:
        Made(5); generators(4)
        rounds += 1
    print(rounds, flush=True)

def inner(one): return (one * 3) % 7
def lists(many): return [inner(one) for one in range(many)]
def generators(many): return sum(inner(one) for one in range(many))

class Made:
    def __init__(self, many): self.found = lists(many)

ended = []
worker = threading.Thread(target=work)
worker.start()
print(worker.native_id, flush=True)
sys.stdin.read()
ended.append(1)
worker.join()
"""


def test_a_thread_at_full_speed_is_read_thousands_of_times_and_nothing_happens_to_it():
    lines = (BEGIN + FULL_SPEED).splitlines()
    one_line = ("inner", "lists", "generators", "__init__")
    whole = 0
    with program(FULL_SPEED) as (process, memory, known):
        native = int(process.stdout.readline())
        state = eventually(
            lambda: (found := holder(memory, known)) and found.native == native and found.state
        )
        for _ in range(READS):
            try:
                found = stack(memory, known, state)
            except UnreadableError:
                continue  # it moved
            whole += 1
            for file, line, name in found:
                if file == "<string>" and name in one_line:
                    assert f"def {name}(" in lines[line - 1]
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert int(said) > READS, "it went on meanwhile"
    assert whole > 0


def test_who_keeps_the_gil_is_told_from_who_only_works():
    code = """
sum(range(10_000_000_000))
"""
    with program(code) as (process, memory, known):
        eventually(lambda: keeper(memory, known) == process.pid)
        assert functions(memory, known) == ["<module>"]
        assert holder(memory, known) == (known.state, process.pid)
    with program("time.sleep(60)") as (_, memory, known):
        waiting(memory, known, "<module>")
        eventually(lambda: keeper(memory, known) is None)


def test_who_works_without_the_gil_while_another_thread_keeps_it_is_not_taken_for_it():
    code = """
import threading, zlib
data = bytes(200_000_000)
other = threading.Thread(target=lambda: [time.sleep(0.2), sum(range(10_000_000_000))])
other.start()
print(other.native_id, flush=True)
zlib.compress(data * 4, 9)
"""
    with program(code) as (process, memory, known):
        other = int(process.stdout.readline())
        eventually(lambda: keeper(memory, known) == other)
        time.sleep(0.1)
        thread, frames = MemoryReader(memory, known).stack()
        assert thread == other
        assert frames[-1][2] == "<lambda>"
        assert functions(memory, known) == ["<module>"]


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "import os; os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'])",
    ],
)
def test_a_program_that_has_ended_or_become_another_one_is_gone(ending):
    def gone():
        try:
            stack(memory, known, known.state)
        except GoneError:
            return True

    with program(f"sys.stdin.read()\n{ending}") as (process, memory, known):
        assert "<module>" in eventually(lambda: functions(memory, known))
        process.stdin.close()
        eventually(gone)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_not_read_in_its_parents_place():
    code = """
import os
def parent(): time.sleep(60)
def child(): time.sleep(60)
child() if os.fork() == 0 else parent()
"""
    with program(code) as (_, memory, known):
        waiting(memory, known, "parent")
        assert all(functions(memory, known)[-1] == "parent" for _ in range(50))


@pytest.mark.parametrize("address", [0, 8, 4095, 1 << 46, 1 << 63, (1 << 64) - 8])
def test_what_is_no_address_cannot_be_read(address):
    descriptor = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        with pytest.raises(UnreadableError):
            Memory(descriptor).read(address, 8)
    finally:
        os.close(descriptor)


def test_frames_that_lead_back_to_one_another_are_left():
    with program("time.sleep(60)") as (_, memory, known):
        waiting(memory, known, "<module>")
        layout = known.layout._replace(frame_previous=0, frame_owner=0)

        class Circle(Memory):
            def read(self, address, size):
                found = super().read(address, size)
                if size == layout.frame_size:
                    return address.to_bytes(8, "little") + bytes([0]) * (size - 8)
                return found

        circle = Circle(memory._descriptor)
        with pytest.raises(UnreadableError):
            stack(circle, known._replace(layout=layout), known.state)
