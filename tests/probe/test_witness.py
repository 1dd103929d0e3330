"""Stacks while the GIL is held: the process beside the program."""

import asyncio
import ctypes
import errno
import faulthandler
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from loopclinic.probe import Probe
from loopclinic.probe.sidecar import frames_of
from loopclinic.probe.stack import of_frames
from loopclinic.probe.witness import Witness, _free_signal

pytestmark = pytest.mark.skipif(not Witness.available(), reason="needs Linux on x86-64 or arm64")


async def ready(probe):
    for _ in range(500):
        if probe.witness_url:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the witness did not come up in 10 s")


async def test_a_call_that_keeps_the_gil_is_seen_long_before_it_ends():
    with Probe(witness=True) as probe:
        await ready(probe)
        sum(range(60_000_000))
        await asyncio.sleep(0.05)
    worst = max(probe.report().stalls, key=lambda stall: stall.seconds)
    assert worst.code == "sum(range(60_000_000))"
    assert worst.gil_held
    assert worst.conflict == "cpu-bound"
    assert worst.first_seen < worst.seconds / 2


async def test_stalls_seen_only_from_outside_are_each_named_once():
    with Probe(witness=True) as probe:
        await ready(probe)
        for _ in range(3):  # each long enough for a witness that must wait for its turn
            sum(range(25_000_000))
            await asyncio.sleep(0.03)
    # On a starved machine the loop is late for reasons that have no line of ours.
    stalls = [stall for stall in probe.report().stalls if "sum" in (stall.code or "")]
    assert len(stalls) == 3
    assert all(stall.first_seen <= stall.seconds for stall in stalls)


async def test_without_a_witness_the_same_call_is_seen_at_its_end():
    with Probe() as probe:
        await asyncio.sleep(0.05)
        sum(range(60_000_000))
        await asyncio.sleep(0.05)
    worst = max(probe.report().stalls, key=lambda stall: stall.seconds)
    assert worst.first_seen > worst.seconds / 2


async def test_who_listens_hears_of_it_meanwhile_but_only_with_the_token():
    with Probe(witness=True) as probe:
        await ready(probe)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(probe.witness_url[:-4], timeout=10)
        refused.value.close()
        code = (
            "import sys, time, urllib.request\n"
            f"stream = urllib.request.urlopen({probe.witness_url!r}, timeout=60)\n"
            "print('listening', flush=True)\n"
            "line = next(line for line in stream if line.startswith(b'data'))\n"
            "print(time.perf_counter(), line.decode())\n"
        )
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "listening\n"
        await asyncio.sleep(0.1)
        sum(range(60_000_000))
        ended = time.perf_counter()
        heard = child.communicate(timeout=60)[0]
    assert float(heard.split()[0]) < ended, "the browser knew while the call was still running"
    assert __file__.rpartition("/")[2] in heard


async def test_nothing_is_left_behind():
    async def once():
        with Probe(witness=True) as probe:
            await ready(probe)
            return probe._meter.watchdog._witness._process.pid

    await once()
    files, free = len(list(Path("/proc/self/fd").iterdir())), _free_signal()
    for _ in range(5):
        pid = await once()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert _free_signal() == free


async def test_a_signal_with_a_handler_of_the_programs_own_is_left_alone():
    taken = _free_signal()
    before = signal.signal(taken, lambda *_: None)
    try:
        with Probe(witness=True) as probe:
            await ready(probe)
            assert probe._meter.watchdog._witness.signal != taken
    finally:
        signal.signal(taken, before)


async def test_a_handler_set_while_the_witness_works_is_left_in_place_and_the_witness_goes(caplog):
    called = []
    with Probe(witness=True) as probe:
        await ready(probe)
        number = probe.witness_signal
        before = signal.signal(number, lambda *_: called.append(1))
        try:
            for _ in range(500):
                if probe.witness_signal is None:
                    break
                await asyncio.sleep(0.02)
            assert probe.witness_signal is None
            probe.stop()
            signal.raise_signal(number)
            await asyncio.sleep(0)
        finally:
            signal.signal(number, before)
    assert called == [1]
    assert "took the signal" in caplog.text
    assert _free_signal() != number, "faulthandler would not register it again"


def test_a_signal_that_c_code_handles_is_not_taken():
    usual = _free_signal()
    faulthandler.register(usual, all_threads=False)  # invisible to the signal module
    try:
        assert _free_signal() != usual
    finally:
        faulthandler.unregister(usual)
    assert _free_signal() == usual


def test_the_process_ends_with_the_program_it_watches():
    code = (
        "import asyncio, os, loopclinic\n"
        "async def main():\n"
        "    probe = loopclinic.Probe(witness=True).start()\n"
        "    while not probe.witness_url:\n"
        "        await asyncio.sleep(0.02)\n"
        "    print(probe._meter.watchdog._witness._process.pid, flush=True)\n"
        "    os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    pid = int(done.stdout)
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} outlived the program by 10 s")


@pytest.mark.parametrize(
    "ending",
    [
        "time.sleep(0.2)",
        "sys.exit(7)",
        "os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(1)'])",
        "os.fork() or time.sleep(1)",
        "raise ZeroDivisionError",
    ],
)
def test_a_probe_that_nobody_stopped_does_not_end_the_program(ending):
    code = (
        "import asyncio, gc, os, sys, time, loopclinic\n"
        "async def main():\n"
        "    global probe\n"
        "    probe = loopclinic.Probe(witness=True).start()\n"
        "    while not probe.witness_url:\n"
        "        await asyncio.sleep(0.02)\n"
        f"    {ending}\n"
        "asyncio.run(main())\n"
        "ballast = [[] for _ in range(10**6)]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    expected = 7 if "exit" in ending else 1 if "Zero" in ending else 0
    assert done.returncode == expected, done.stderr


def test_what_faulthandler_writes_is_read_outermost_first():
    dump = (
        "Current thread 0x00007f (most recent call first):\n"
        '  File "/home/\\xe4da/app.py", line 12 in work\n'
        '  File "/usr/lib/python3.11/asyncio/events.py", line 80 in _run\n'
        '  File "/home/\\xe4da/app.py", line ??? in <module>\n'
    )
    assert frames_of(dump) == [
        ("/home/äda/app.py", 0, "<module>"),
        ("/usr/lib/python3.11/asyncio/events.py", 80, "_run"),
        ("/home/äda/app.py", 12, "work"),
    ]
    assert of_frames(frames_of(dump)).guilty == 2


def test_the_rest_of_a_dump_that_came_late_is_no_part_of_the_next():
    rest = '  File "/usr/lib/python3.11/asyncio/runners.py", line 118 in run\n'
    dump = 'Stack (most recent call first):\n  File "/home/ada/app.py", line 12 in work\n'
    assert frames_of(rest + dump) == [("/home/ada/app.py", 12, "work")]
    assert frames_of(rest) == []


@pytest.mark.parametrize("text", ["", "Fatal error", "  File broken", "<timeout>"])
def test_other_text_holds_no_frames(text):
    assert frames_of(text) == []


def test_a_call_that_the_signal_came_into_fails_as_it_would_have():
    witness = Witness()
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        ctypes.set_errno(errno.ENOENT)
        libc["raise"](witness.signal)
        assert ctypes.get_errno() == errno.ENOENT
    finally:
        witness.close()
