"""The witness process reads the stack while a call holds the GIL."""

import asyncio
import ctypes
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from loopclinic.probe import Probe, layout, remote_stack
from loopclinic.probe.witness import Witness
from tests.probe.fakes import stand_still

pytestmark = pytest.mark.skipif(Witness.unsuitable() is not None, reason=str(Witness.unsuitable()))


async def ready(probe):
    for _ in range(500):
        if probe.witness_url:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the witness did not come up in 10 s")


@pytest.mark.alone(wakes=True)
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


@pytest.mark.alone(wakes=True)
async def test_a_call_that_rests_with_the_gil_is_seen_too():
    with Probe(witness=True) as probe:
        await ready(probe)
        ctypes.PyDLL(None).usleep(999_000)
        await asyncio.sleep(0.05)
    worst = max(probe.report().stalls, key=lambda stall: stall.seconds)
    assert worst.code == "ctypes.PyDLL(None).usleep(999_000)"
    assert worst.gil_held
    assert worst.first_seen < worst.seconds / 2


def test_the_only_thread_of_a_forked_child_is_known_by_its_own_number():
    code = (
        "import os, threading\n"
        "from loopclinic.probe.witness import native_id\n"
        "def number(): return native_id(threading.get_ident())\n"
        "def here(): return threading.get_native_id()\n"
        "assert number() == here()\n"
        "if not os.fork():\n"
        "    os._exit(0 if number() == here() else 1)\n"
        "assert os.wait()[1] == 0\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60, check=True)


@pytest.mark.prove
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


@pytest.mark.alone(wakes=True)
async def test_a_call_of_another_thread_that_keeps_the_gil_is_named_and_is_the_loops_stall():
    def crunch():
        sum(range(30_000_000))

    took = []
    with Probe(witness=True) as probe:
        await ready(probe)
        for _ in range(3):
            began = time.perf_counter()
            await asyncio.to_thread(crunch)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.03)
    kept = [stall for stall in probe.report().stalls if stall.thread is not None]
    assert len(kept) == 3
    for stall in kept:
        assert stall.code == "sum(range(30_000_000))"
        assert stall.gil_held
        assert stall.conflict == "cpu-bound"
        assert f"Thread {stall.thread} kept the GIL" in stall.diagnosis
        assert stall.first_seen < stall.seconds
        # Its iteration may have begun a moment before the clock of this test.
        assert min(took) / 2 < stall.seconds < 1.5 * max(took)
    assert sum(stall.seconds for stall in kept) < 1.5 * sum(took)


@pytest.mark.alone
@pytest.mark.skipif(sys.version_info < (3, 14), reason="InterpreterPoolExecutor: from 3.14 on")
async def test_a_call_in_another_interpreter_keeps_no_gil_of_ours():
    from concurrent.futures import InterpreterPoolExecutor

    with InterpreterPoolExecutor(1) as pool, Probe(witness=True) as probe:
        await ready(probe)
        await asyncio.get_running_loop().run_in_executor(pool, sum, range(30_000_000))
        assert not [stall for stall in probe.report().stalls if stall.gil_held]
        other = asyncio.get_running_loop().run_in_executor(pool, sum, range(100_000_000))
        await asyncio.sleep(0.05)
        min(range(30_000_000))
        await asyncio.sleep(0.05)
        await other
    # With two cores, both busy here, the witness may get none in time to see who had the GIL.
    stalls = probe.report().stalls
    assert max(stalls, key=lambda stall: stall.seconds).code == "min(range(30_000_000))"
    assert {stall.code for stall in stalls if stall.gil_held} <= {"min(range(30_000_000))"}


@pytest.mark.alone
@pytest.mark.parametrize("witness", [True, False])
def test_a_machine_that_stands_still_for_a_moment_keeps_no_gil(witness, tmp_path):
    """As a virtual one does when its host has no time for it; here all processes of a program."""
    code = (
        "import asyncio, json, sys, time\n"
        "from loopclinic import Probe\n"
        "async def main():\n"
        f"    with Probe(witness={witness}) as probe:\n"
        f"        while {witness} and not probe.witness_url: await asyncio.sleep(0.02)\n"
        "        await asyncio.sleep(0.3)\n"
        "        print('asleep', flush=True)\n"
        "        time.sleep(0.5)\n"
        "        await asyncio.sleep(0.05)\n"
        "    worst = max(probe.report().stalls, key=lambda stall: stall.seconds)\n"
        "    print(json.dumps([worst.line, worst.gil_held, worst.conflict, worst.diagnosis]))\n"
        "asyncio.run(main())\n"
    )
    file = tmp_path / "program.py"
    file.write_text(code, "utf-8")
    with subprocess.Popen([sys.executable, file], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "asleep\n"
        assert stand_still(program.pid, 0.3) == 1 + witness
        line, gil_held, conflict, diagnosis = json.loads(program.stdout.readline())
    assert (line, gil_held, conflict) == (8, False, "blocking-sleep"), diagnosis


@pytest.mark.alone(wakes=True)
async def test_without_a_witness_the_same_call_is_seen_at_its_end():
    with Probe() as probe:
        await asyncio.sleep(0.05)
        sum(range(60_000_000))
        await asyncio.sleep(0.05)
    worst = max(probe.report().stalls, key=lambda stall: stall.seconds)
    assert worst.first_seen > worst.seconds / 2


@pytest.mark.prove
@pytest.mark.parametrize("other", [False, True], ids=["the loop's thread", "another thread"])
async def test_who_listens_hears_of_it_meanwhile_but_only_with_the_token(other):
    def crunch():
        sum(range(60_000_000))

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
        await asyncio.to_thread(crunch) if other else crunch()
        ended = time.perf_counter()
        heard = child.communicate(timeout=60)[0]
    assert float(heard.split()[0]) < ended, "the browser knew while the call was still running"
    assert __file__.rpartition("/")[2] in heard
    assert f'"other": {str(other).lower()}' in heard


async def test_nothing_is_left_behind():
    async def once():
        with Probe(witness=True) as probe:
            await ready(probe)
            return probe._meter.watchdog._witness._process.pid

    await once()
    files = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        pid = await once()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert len(list(Path("/proc/self/fd").iterdir())) == files


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


@pytest.mark.prove
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


def handled():
    """Return the signals that something handles, ignores or blocks, C code too: proc(5), status."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return [line for line in lines if line.startswith(("SigCgt", "SigIgn", "SigBlk"))]


async def test_the_program_is_sent_no_signal_and_handles_none():
    before = handled()
    with Probe(witness=True) as probe:
        await ready(probe)
        assert handled() == before


@pytest.mark.prove
async def test_names_in_any_script_and_the_coroutines_above_are_told(tmp_path):
    file = tmp_path / "счёт_𐐨.py"
    file.write_text(
        "def größe(): return sum(range(60_000_000))\n"
        "def числа(): yield größe()\n"
        "async def 𐐨𐐩(): return list(числа())\n",
        encoding="utf-8",
    )
    names = {}
    exec(compile(file.read_text("utf-8"), str(file), "exec"), names)
    with Probe(witness=True) as probe:
        await ready(probe)
        await names["𐐨𐐩"]()
        await asyncio.sleep(0.05)
    worst = max(probe.report().stalls, key=lambda stall: stall.seconds)
    assert (worst.file, worst.line, worst.function) == (str(file), 1, "größe")
    assert worst.gil_held
    told = [frame.function for frame in worst.stack if frame.file == str(file)]
    assert told == ["𐐨𐐩", "числа", "größe"]


async def refused(caplog):
    with Probe(witness=True) as probe:
        for _ in range(500):
            if "goes on without a witness" in caplog.text:
                break
            await asyncio.sleep(0.02)
        time.sleep(0.2)
        await asyncio.sleep(0.05)
        assert probe.witness_url is None
        assert probe._meter.watchdog._witness is None
        assert probe.witness_error
    assert probe.witness_error in caplog.text
    assert probe.witness_error in str(probe.report())
    assert probe.report().to_dict()["witness_error"] == probe.witness_error
    assert caplog.text.count("goes on without a witness") == 1
    assert __file__ in [stall.file for stall in probe.report().stalls]


async def test_an_interpreter_whose_stacks_read_otherwise_has_no_witness(monkeypatch, caplog):
    if sys.version_info >= (3, 15):
        monkeypatch.setattr(remote_stack, "_place", lambda frame: (frame.filename, 1, "f"))
    else:
        true = layout._layout(layout._here()[0])
        wrong = true._replace(code_line=true.code_name)
        monkeypatch.setattr(layout, "_layout", lambda _: wrong)
    await refused(caplog)
    assert "stack" in caplog.text


async def test_a_memory_that_cannot_be_opened_is_told_once(monkeypatch, caplog):
    true = os.open

    def open_(path, *arguments, **options):
        if path == "/proc/self/mem":
            raise PermissionError(13, "Permission denied", path)
        return true(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_)
    await refused(caplog)
    assert "/proc/self/mem" in caplog.text


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="read by number: see the next but one")
async def test_a_process_that_cannot_read_the_program_says_so_and_goes(monkeypatch, caplog):
    true = layout.described

    def of_another(mem):
        """Describe a program that has no such thread."""
        values = json.loads(true(mem))
        return json.dumps([*values[:1], 1 << 40, *values[2:]])

    with monkeypatch.context() as patch:
        patch.setattr(layout, "described", of_another)
        await refused(caplog)
    assert "does not let the process beside it read" in caplog.text
    assert Witness.refusal() is None, "the layout itself is in order"


UNTRACEABLE = """
import asyncio, ctypes, os, subprocess, sys, time, loopclinic
prctl = ctypes.CDLL(None).prctl
prctl(24, 19, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_PTRACE: else root may trace anybody
def untraceable():
    prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: nobody may attach from now on
    opens = f'open("/proc/{os.getpid()}/mem", "rb")'
    other = subprocess.run([sys.executable, "-c", opens], stderr=subprocess.PIPE)
    print(b"PermissionError" in other.stderr)
async def main():
"""


def untraceable(source):
    """Run a coroutine's body in a program that may forbid to be traced; return its last line."""
    done = subprocess.run(
        [sys.executable, "-c", f"{UNTRACEABLE}{source}\nasyncio.run(main())\n"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    forbidden, found = done.stdout.splitlines()
    if forbidden != "True":
        pytest.skip("this machine lets anybody attach")
    return found


@pytest.mark.prove
@pytest.mark.skipif(sys.version_info >= (3, 15), reason="CPython's own reader may not, either")
def test_what_may_not_be_traced_is_read_all_the_same():
    found = untraceable(
        "    with loopclinic.Probe(witness=True) as probe:\n"
        "        while not probe.witness_url:\n"
        "            await asyncio.sleep(0.02)\n"
        "        untraceable()\n"
        "        await asyncio.sleep(0.1)\n"
        "        sum(range(120_000_000))\n"
        "        await asyncio.sleep(0.05)\n"
        "    worst = max(probe.report().stalls, key=lambda stall: stall.seconds)\n"
        # Late where the machine is busy, but before the call was over: nobody else can tell then.
        "    print(worst.code, worst.gil_held, worst.first_seen < 0.95 * worst.seconds)\n"
    )
    assert found.endswith("True True")


@pytest.mark.skipif(
    sys.version_info < (3, 15), reason="up to 3.14 the program hands over its memory"
)
def test_what_may_not_be_traced_says_why_it_has_no_witness():
    found = untraceable(
        "    untraceable()\n"
        "    with loopclinic.Probe(witness=True) as probe:\n"
        "        while not probe.witness_error and not probe.witness_url:\n"
        "            await asyncio.sleep(0.02)\n"
        "    print(probe.report().witness_error)\n"
    )
    assert "/proc/self/mem" in found or "does not let the process beside it read" in found


@pytest.mark.parametrize("scope", ["0", "1", "2", None])
def test_where_yama_lets_parents_read_only_the_process_is_named_to_the_kernel(
    monkeypatch, tmp_path, scope
):
    from loopclinic.probe import witness

    file = tmp_path / "ptrace_scope"
    if scope is not None:
        file.write_text(f"{scope}\n")
    calls = []
    monkeypatch.setattr(witness, "_YAMA", file)
    monkeypatch.setattr(witness, "_tracer", None)
    monkeypatch.setattr(
        ctypes, "CDLL", lambda _: SimpleNamespace(prctl=lambda *all_: calls.append(all_))
    )
    child = SimpleNamespace(pid=4711, poll=lambda: None)
    witness._allow_tracing_by(child)
    assert [(option, pid.value) for option, pid, *_ in calls] == [(0x59616D61, 4711)] * (
        scope == "1"
    )
    if scope == "1":
        with pytest.raises(RuntimeError, match="another loop has it"):
            witness._allow_tracing_by(child)
        child.poll = lambda: 0
        witness._allow_tracing_by(child)
