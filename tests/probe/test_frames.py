"""Nothing of the probe's runs in the midst of the program's own code, nor lets anything else run there."""

import asyncio
import gc
import operator
import subprocess
import sys
import threading
import time

import pytest

from loopclinic.probe import Probe
from loopclinic.probe.frames import uncollected

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


async def test_what_a_callback_was_called_with_is_freed_on_the_loops_own_thread():
    freed = []

    class Value:
        def __del__(self):
            freed.append(threading.current_thread())

    def slow(_):
        time.sleep(0.05)

    loop = asyncio.get_running_loop()
    with Probe(threshold=0.02):
        for _ in range(4):
            loop.call_soon(slow, Value())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert freed == [threading.current_thread()] * 4
