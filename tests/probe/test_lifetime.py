"""Forks, crashes, closed loops and interpreter exit while a probe runs."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from loopclinic.probe import Probe, attachment
from loopclinic.probe.watchdog import Watchdog
from tests.threads import threads_left, threads_now


def run(code, *, wait=60):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=wait,
        check=False,
    )


@pytest.mark.parametrize("closed", [True, False])
def test_time_after_a_loop_has_stopped_is_nobodys_stall(closed):
    loop = asyncio.new_event_loop()
    probe = Probe(loop=loop, threshold=0.1).start()
    loop.run_until_complete(asyncio.sleep(0.02))
    if closed:
        loop.close()
    time.sleep(0.4)
    report = probe.stop()
    loop.close()
    assert report.stalls == ()
    assert report.lag.max < 0.2


async def test_hundreds_of_starts_leave_no_thread_file_or_hook():
    def left():
        files = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
        return files, len(gc.callbacks), len(attachment._meters)

    Probe().start().stop()
    before, threads = left(), threads_now()
    for _ in range(500):
        with Probe():
            await asyncio.sleep(0)
    assert left() == before
    assert threads_left(threads) == []
    assert "select" not in vars(asyncio.get_running_loop()._selector)


def test_a_loop_that_is_closed_while_probed_lets_the_watchdog_go():
    loop = asyncio.new_event_loop()
    probe = Probe(loop=loop).start()
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.call_soon(time.sleep, 0.2)
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.close()
    thread = probe._meter.watchdog._thread
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert loop not in attachment._meters
    assert max(stall.seconds for stall in probe.report().stalls) >= 0.2
    assert probe.stop().seconds > 0.2
    gone = weakref.ref(loop)
    del probe, loop, thread
    gc.collect()
    assert gone() is None


def test_a_probe_on_a_closed_loop_is_refused():
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        Probe(loop=loop).start()


async def test_an_exception_in_a_callback_changes_nothing():
    raised = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))

    def broken():
        time.sleep(0.15)
        raise ZeroDivisionError

    with Probe() as probe:
        asyncio.get_running_loop().call_soon(broken)
        await asyncio.sleep(0.05)
    assert len(raised) == 1
    assert "broken" in [stall.function for stall in probe.report().stalls]


def test_loop_stop_from_within():
    loop = asyncio.new_event_loop()
    try:
        with Probe(loop=loop) as probe:
            for _ in range(3):
                loop.call_soon(time.sleep, 0.1)
                loop.call_soon(loop.stop)
                loop.run_forever()
    finally:
        loop.close()
    assert len([stall for stall in probe.report().stalls if stall.seconds >= 0.1]) == 3


def test_two_loops_in_two_threads_keep_their_stalls_apart():
    found = {}

    async def work(name, seconds):
        with Probe() as probe:
            await asyncio.sleep(0.05)
            time.sleep(seconds)
            await asyncio.sleep(0.05)
        found[name] = max(stall.seconds for stall in probe.report().stalls)

    threads = [
        threading.Thread(target=lambda n=name, s=s: asyncio.run(work(n, s)))
        for name, s in (("short", 0.1), ("long", 0.6))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found["short"] >= 0.1
    assert found["long"] >= 0.6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_free_of_the_probe_and_may_start_its_own():
    done = run(
        "import asyncio, gc, os, threading, time, warnings\n"
        "from loopclinic.probe import Probe, attachment\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"  # of fork beside threads
        "async def child():\n"
        "    with Probe() as probe:\n"
        "        await asyncio.sleep(0.01)\n"
        "        time.sleep(0.1)\n"
        "        await asyncio.sleep(0.01)\n"
        "    return max(stall.seconds for stall in probe.report().stalls)\n"
        "async def main():\n"
        "    selector = asyncio.get_running_loop()._selector\n"
        "    with Probe() as probe:\n"
        "        await asyncio.sleep(0.05)\n"
        "        pid = os.fork()\n"
        "        if not pid:\n"
        "            try:\n"
        "                assert 'select' not in vars(selector), 'wrapped'\n"
        "                assert not gc.callbacks, 'hooked'\n"
        "                assert not attachment._meters, 'metered'\n"
        "                probe.stop()\n"
        "                asyncio._set_running_loop(None)\n"
        "                assert asyncio.run(child()) >= 0.1\n"
        "            except BaseException as error:\n"
        "                print(repr(error), flush=True)\n"
        "                os._exit(1)\n"
        "            os._exit(0)\n"
        "        assert os.waitpid(pid, 0)[1] == 0, 'the child failed'\n"
        "        time.sleep(0.1)\n"
        "        await asyncio.sleep(0.01)\n"
        "    assert probe.report().stalls\n"
        "asyncio.run(main())\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_a_child_process_started_by_the_program_inherits_nothing_of_the_probe():
    with Probe(witness=True):
        await asyncio.sleep(0.1)
        code = "import os; print(sorted(os.listdir('/proc/self/fd'))[:9])"
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await child.communicate()
    if sys.platform == "linux":
        assert len(said.split()) == 4, "stdin, stdout, stderr and the folder being listed"


SIGNALS = """
import asyncio, os, signal
from loopclinic.probe import Probe

async def main():
    with Probe(witness=True):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        os.kill(os.getpid(), signal.SIGUSR1)
        print(signal.sigwait([signal.SIGUSR1]).name, signal.pthread_sigmask(signal.SIG_BLOCK, ()))

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals of POSIX")
def test_a_signal_that_the_program_blocks_to_wait_for_it_is_not_the_watchdogs():
    done = run(SIGNALS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"SIGUSR1 {{{signal.SIGUSR1!r}}}\n"


@pytest.mark.parametrize("ending", ["pass", "sys.exit(7)", "raise ZeroDivisionError"])
def test_a_program_that_ends_in_the_middle_of_a_stall_of_another_thread(ending):
    done = run(
        "import asyncio, sys, threading, time, loopclinic\n"
        "probes = []\n"
        "def serve():\n"
        "    loop = asyncio.new_event_loop()\n"
        "    probes.append(loopclinic.Probe(loop=loop).start())\n"
        "    loop.call_later(0.05, time.sleep, 60)\n"
        "    loop.run_forever()\n"
        "threading.Thread(target=serve, daemon=True).start()\n"
        "while not (probes and probes[0].current()):\n"
        "    time.sleep(0.01)\n"
        f"{ending}\n"
    )
    expected = {"pass": 0, "sys.exit(7)": 7}.get(ending, 1)
    assert done.returncode == expected, done.stderr
    assert ("Traceback" in done.stderr) is (expected == 1)


async def test_who_can_have_no_witness_is_told_once_and_goes_on(monkeypatch, caplog):
    from loopclinic.probe.witness import Witness

    if Witness.unsuitable() is not None:
        pytest.skip(Witness.unsuitable())

    def refuse(_):
        raise RuntimeError("This interpreter keeps its stacks elsewhere.")

    monkeypatch.setattr(Witness, "__init__", refuse)
    with Probe(witness=True) as probe:
        await asyncio.sleep(0.1)
        time.sleep(0.2)
        await asyncio.sleep(0.05)
    assert caplog.text.count("goes on without a witness") == 1
    assert __file__ in [stall.file for stall in probe.report().stalls]


async def test_a_report_may_be_had_and_the_probe_stopped_on_its_own_thread():
    reports = []

    def over(_):
        reports.append((probe.report(), probe.stop()))

    probe = Probe(budget=0.05, on_budget=over).start()
    await asyncio.sleep(0.03)
    time.sleep(0.3)
    await asyncio.sleep(0.03)
    assert len(reports) == 1
    assert not probe.running
    assert reports[0][1] is probe.report()


def test_the_watchdog_outlives_an_error_and_says_so(caplog):
    async def main():
        with Probe(threshold=0.05) as probe:
            probe._meter.watchdog.look = lambda: 1 / 0
            await asyncio.sleep(0.05)
            del probe._meter.watchdog.look
            time.sleep(0.2)
            await asyncio.sleep(0.05)
        return probe.report()

    report = asyncio.run(main())
    assert "met an error and goes on" in caplog.text
    assert any(stall.line for stall in report.stalls)
    assert Watchdog.look


def test_the_catalogue_is_read_by_the_first_probe_before_it_measures():
    """By its own thread it could not be, while a call keeps the GIL in the loop's first iteration."""
    done = run(
        "import asyncio, threading\n"
        "from loopclinic import Probe\n"
        "from loopclinic.probe.blocking_frames import call_index\n"
        "probe = Probe(loop=asyncio.new_event_loop())\n"
        "read = [call_index.cache_info().currsize]\n"
        "threading.Thread.start = lambda _: read.append(call_index.cache_info().currsize)\n"
        "probe.start()\n"
        "print(read)\n"
    )
    assert done.stdout == "[0, 1]\n", done.stderr


@pytest.mark.alone(wakes=True)
@pytest.mark.skipif(sys.platform != "linux", reason="who keeps the GIL is read on Linux only")
def test_a_call_that_keeps_the_gil_in_the_first_iteration_has_its_line():
    done = run(
        "import asyncio\n"
        "from loopclinic import Probe\n"
        "async def main():\n"
        "    with Probe() as probe:\n"
        "        sum(range(20_000_000))\n"
        "        await asyncio.sleep(0.05)\n"
        "    print([stall.line for stall in probe.report().stalls])\n"
        "asyncio.run(main())\n"
    )
    assert done.stdout == "[5]\n", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a thread's times are read from its file")
def test_a_watchdog_that_ends_closes_nothing_under_anothers_look():
    loop = asyncio.new_event_loop()
    with Probe(loop=loop) as probe:
        watchdog = probe._meter.watchdog
        with watchdog._looking:  # as who stops a probe does
            watchdog._over = True
            watchdog._ended.release()
            watchdog._thread.join(0.2)  # it comes as far as it can
            assert watchdog._lateness._schedule._file is not None
        watchdog._thread.join(20)
        assert not watchdog._thread.is_alive()
    loop.close()
