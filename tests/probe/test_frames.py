"""Nothing of the probe's runs in the midst of the program's own code, nor lets anything else run there."""

import _thread
import asyncio
import gc
import itertools
import operator
import subprocess
import sys
import threading
import time
import weakref

import pytest

from loopclinic.probe import Probe, garbage
from loopclinic.probe.census import waiting_on
from loopclinic.probe.frames import (
    chain_of,
    frames_of_others,
    giving_back,
    own_frames,
    top_frame,
    uncollected,
)
from loopclinic.probe.stack import sample

# What interrupts is of C alone, so the first Python that looks for signals is what is called after it.
INTERRUPTED = """
import _thread, asyncio, gc, weakref
from functools import partial
from itertools import repeat
from operator import call, is_
from loopclinic.probe import Probe
from loopclinic.timeline.task_recorder import Recorded, Recorder

interrupts = map(call, repeat(_thread.interrupt_main))

class AtStart(partial):
    start, stop = property(None, call), property(None, is_)

class AtStop(partial):
    start, stop = property(None, is_), property(None, call)

class Task:
    cancelling, get_name = lambda self: 0, lambda self: "lost"

async def main():
    recorder = Recorder(asyncio.get_running_loop(), lanes=10, steps=10)
    with Probe() as probe:
        await asyncio.sleep(0)
        gc.disable()
        task = Task()
        lane = Recorded(recorder, task, None, 0.0)
        try:
            {act}
            len("")
            print("lost")
        except KeyboardInterrupt:
            print("heard")
        gc.callbacks[:] = [one for one in gc.callbacks if type(one) not in (AtStart, AtStop)]

asyncio.new_event_loop().run_until_complete(main())
"""
ARRIVES = {
    "as a collection starts": "gc.callbacks.insert(0, partial(setattr, AtStart(next, interrupts))); gc.collect()",
    "as it stops": "gc.callbacks.insert(0, partial(setattr, AtStop(next, interrupts))); gc.collect()",
    "as a task is lost": "mine = weakref.ref(task, partial(next, interrupts)); del task",
}


@pytest.mark.parametrize("when", ARRIVES)
def test_an_interrupt_that_arrives_meanwhile_is_the_programs(when):
    text = INTERRUPTED.format(act=ARRIVES[when])
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("heard\n", "")


# A thread returns from its frames in the midst of another's reading them, if anything lets it run there.
RETURNING = """
import gc, sys, threading
from loopclinic.probe.frames import top_frame
from loopclinic.probe.stack import sample

def deep(left):
    if left:
        return deep(left - 1)
    entered.set()
    leave.acquire()

def other(left, a=1, b=2, c=3, d=4, e=5):
    return other(left - 1, [a], b, c, d) if left else back.set() or again.wait(5)

def work():
    deep(40)
    other(30)

def let(phase, info):
    global collected
    if threading.get_ident() == me and phase == "start" and reading:
        collected += 1
        if collected == at:
            leave.release()
            back.wait(5)

me, reading = threading.get_ident(), False
gc.callbacks.append(let)
for at in range(1, 25):
    collected = 0
    entered, back, again, leave = threading.Event(), threading.Event(), threading.Event(), threading.Lock()
    leave.acquire()
    thread = threading.Thread(target=work)
    thread.start()
    entered.wait()
    gc.set_threshold(1, 1000, 1000)
    reading = True
    found = sample(top_frame(thread.ident))
    reading = False
    gc.set_threshold(700)
    assert found is None or found.frames[0][2] in ("_bootstrap", "deep", "work", "other"), found
    if leave.locked() and collected < at:
        leave.release()
    again.set()
    thread.join()
print("sound")
"""


def test_frames_that_are_left_in_the_midst_of_a_reading_are_read_soundly():
    done = subprocess.run(
        [sys.executable, "-c", RETURNING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "sound\n", "")


# Somebody's `sys._current_frames()`, in which collections begin; each is long by a clock of its own.
COLLECTED = """
import gc, sys, threading
from itertools import count
from loopclinic.probe import garbage

clock = count()
gc.callbacks[:] = garbage._recorder(lambda: next(clock), lambda: 0.0)

def look():
    return sys._current_frames()[threading.get_ident()].f_code.co_name

gc.set_threshold(1, 1000, 1000)
for _ in range(50):
    assert look() == "look"
gc.set_threshold(0)
names = {stack[0][0].co_name for *_, stack, _ in garbage.runs}
assert {"look"} <= names <= {"look", "<module>"}, names
print("over")
"""


def test_a_collection_within_a_reading_of_all_frames_is_recorded_and_waits_for_no_lock():
    done = subprocess.run(
        [sys.executable, "-c", COLLECTED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")


def test_the_frame_that_a_collection_began_in_is_not_kept():
    clock, callbacks = itertools.count(), gc.callbacks[:]
    heard = garbage._recorder(lambda: next(clock), lambda: 0.0)

    def collects():
        value = set()
        gc.callbacks[:] = heard
        gc.collect()
        gc.callbacks[:] = callbacks
        return weakref.ref(value)

    assert collects()() is None
    assert garbage.runs[-1][4][0][0] is collects.__code__


def test_a_thread_that_runs_no_python_has_no_frame():
    frames, found = own_frames(), []
    found.append(next(frames))
    _thread.start_new_thread(found.extend, (itertools.islice(frames, 1),))
    while len(found) < 2:
        time.sleep(0.01)
    found.append(next(frames))
    assert found == [sys._getframe(), None, sys._getframe()]
    assert threading.get_ident() not in frames_of_others()


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="from 3.12 on no step of C begins a collection"
)
def test_no_collection_begins_while_frames_are_read(enabled):
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        assert uncollected(map(operator.call, [gc.isenabled] * 2)) == [False, False]
        assert gc.isenabled() is enabled
        with pytest.raises(ZeroDivisionError):
            uncollected(map(operator.truediv, [1], [0]))
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


class Value:
    """Records in which thread it is freed."""

    def __init__(self, freed):
        self.freed = freed

    def __del__(self):
        self.freed.append(threading.current_thread())


async def test_what_a_callback_was_called_with_is_freed_on_the_loops_own_thread():
    freed = []

    def slow(_):
        time.sleep(0.05)

    loop = asyncio.get_running_loop()
    with Probe(threshold=0.02):
        for _ in range(4):
            loop.call_soon(slow, Value(freed))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # what was read as it ended is given back after that
    assert freed == [threading.current_thread()] * 4


@pytest.mark.parametrize(
    "read",
    [
        lambda loop, thread: chain_of(top_frame(thread)),
        lambda loop, thread: sample(top_frame(thread), loop, held=True),
        lambda loop, thread: waiting_on(loop),
    ],
    ids=["frames", "sample", "tasks"],
)
async def test_what_another_thread_has_read_last_is_freed_on_the_loops_own(read):
    loop, freed, me = asyncio.get_running_loop(), [], threading.current_thread()
    was_read, is_over = threading.Event(), threading.Event()

    def reads():
        with giving_back(loop):
            read(loop, me.ident)
            was_read.set()
            is_over.wait()

    async def passes_on(value):
        await asyncio.sleep(0)
        reader.start()
        was_read.wait()
        return value

    reader = threading.Thread(target=reads)
    task = loop.create_task(passes_on(Value(freed)))
    del task
    while not was_read.is_set():
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert freed == []  # the reader has it
    is_over.set()
    reader.join()
    await asyncio.sleep(0)
    assert freed == [me]


# What a tracer in Python is called with is written back to the frame: `_run_once` must not lose its variables.
PROFILED = """
import asyncio, sys, threading, time
from loopclinic.probe.stack import sample

loop, me = asyncio.new_event_loop(), threading.get_ident()
seen = set()

def profile(frame, event, arg):
    if frame.f_code.co_name == "_run_once" and not event.startswith("c_"):
        return
    found = []
    reader = threading.Thread(target=lambda: found.append(sample(sys._current_frames()[me], loop)))
    sys.setprofile(None)
    reader.start()
    reader.join()
    seen.add((frame.f_code.co_name, event, found[0].callback is not None))
    sys.setprofile(profile)

async def main():
    sys.setprofile(profile)
    for _ in range(3):
        await asyncio.sleep(0)
    sys.setprofile(None)

loop.run_until_complete(main())
print(("_run_once", "c_call", False) in seen, ("main", "c_call", True) in seen)
"""


def test_a_profiler_in_python_takes_no_variables_from_the_loop():
    done = subprocess.run(
        [sys.executable, "-c", PROFILED], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True\n", "")


def test_a_collection_is_had_though_another_threads_is_under_way():
    began, go = threading.Event(), threading.Event()

    class Slow:
        def __init__(self):
            self.itself = self

        def __del__(self):
            began.set()
            go.wait()

    def other():
        Slow()
        gc.collect()

    thread = threading.Thread(target=other)
    thread.start()
    began.wait()
    lost = weakref.ref(Slow())
    gc.collect()
    assert lost() is not None  # it returned at once
    threading.Timer(0.1, go.set).start()
    garbage.collect()
    assert lost() is None
    thread.join()
