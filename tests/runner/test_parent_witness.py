"""`loopclinic run` as the witness of its child: reads its stack while a call holds the GIL."""

import ctypes
import json
import os
import subprocess

import pytest

from loopclinic.probe.sidecar import Beat
from loopclinic.probe.witness import Witness
from loopclinic.runner.parent_witness import ParentWitness, Slots
from loopclinic.runner.program import Target, run
from loopclinic.runner.program_record import Recording
from tests.runner.conftest import command, line_of

pytestmark = pytest.mark.skipif(Witness.unsuitable() is not None, reason=str(Witness.unsuitable()))

# usleep by PyDLL keeps the GIL, and takes no processor.
HOLDS = """
import asyncio, ctypes, os, signal, threading, time
def hold(seconds): ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))  # the line
"""


def heard(tmp_path, source, *, threshold=0.05):
    """Run a program; return its messages in the order they came."""
    file = tmp_path / "program.py"
    file.write_text(HOLDS + source, "utf-8")
    messages = []
    ending = run(Target(str(file)), messages.append, threshold=threshold, witness=True)
    return messages, ending


def kinds(messages):
    """Return (kind, line) of what was told of stalls at the line."""
    line = line_of(HOLDS)
    stalls = [(one["kind"], one["stall"]) for one in messages if one.get("stall")]
    return [(kind, stall["gil_held"]) for kind, stall in stalls if stall["line"] == line]


@pytest.mark.alone
def test_a_call_that_keeps_the_gil_is_named_before_it_ends(tmp_path):
    source = """
async def main():
    await asyncio.sleep(0.3)
    hold(0.9)
    await asyncio.sleep(0.3)
asyncio.run(main())
"""
    messages, ending = heard(tmp_path, source)
    assert ending.status == 0
    told = kinds(messages)
    assert told[0] == ("held", True), "while the program could not say it itself"
    assert told[-1] == ("stall", True)
    stalls = [one["stall"] for one in messages if one["kind"] == "stall"]
    stall = max(stalls, key=lambda one: one["seconds"])
    first = next(one["stall"] for one in messages if one["kind"] == "held")
    assert first["seconds"] < stall["seconds"] / 2
    assert abs(first["started"] - stall["started"]) < stall["seconds"] / 4
    assert stall["first_seen"] < stall["seconds"] / 2
    reports = [one["report"] for one in messages if one["kind"] == "report"]
    assert reports[-1]["witness_error"] is None


def test_the_program_has_no_child_and_passes_nothing_on(tmp_path, capfd):
    source = """
async def main():
    await asyncio.sleep(0.2)
    with open(f"/proc/self/task/{os.getpid()}/children") as file: print("children", file.read().split())
    open_ = [int(one) for one in os.listdir("/proc/self/fd")]
    kept = []
    for one in open_:
        try: kept += [one] * (one > 2 and os.get_inheritable(one))
        except OSError: pass
    print("inheritable", kept, flush=True)
asyncio.run(main())
"""
    heard(tmp_path, source)
    assert capfd.readouterr().out == "children []\ninheritable []\n"


@pytest.mark.alone
def test_another_threads_call_is_the_loops_stall(tmp_path):
    source = """
async def main():
    await asyncio.sleep(0.3)
    await asyncio.to_thread(hold, 0.9)
    await asyncio.sleep(0.3)
asyncio.run(main())
"""
    messages, _ = heard(tmp_path, source)
    (held, *_), *_ = kinds(messages)
    assert held == "held"
    stalls = [one["stall"] for one in messages if one["kind"] == "stall"]
    stall = max(stalls, key=lambda one: one["seconds"])  # others are the machine's
    assert (stall["line"], stall["gil_held"]) == (line_of(HOLDS), True)
    assert stall["thread"].startswith("asyncio_")


@pytest.mark.alone
def test_a_program_killed_in_such_a_call_is_reported_stuck_at_its_line(tmp_path):
    source = """
async def main():
    await asyncio.sleep(0.3)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.9)
    hold(60)
asyncio.run(main())
"""
    messages, ending = heard(tmp_path, source)
    assert ending.status == -14
    recording = Recording()
    for message in messages:
        recording.handle(message)
    recording.finish()
    (place,) = recording.places()
    assert place.worst["line"] == line_of(HOLDS)
    assert place.worst["unfinished"]
    assert 0.4 < place.worst["seconds"] < 0.95


def test_why_the_parent_may_not_read_its_child_is_a_note(tmp_path):
    source = """
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
async def main():
    await asyncio.sleep(0.1)
    time.sleep(0.2)
    await asyncio.sleep(0.1)
asyncio.run(main())
"""
    (tmp_path / "program.py").write_text(HOLDS + source, "utf-8")
    report = tmp_path / "report.json"
    done = subprocess.run(
        command("--json", report, tmp_path / "program.py"),
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: ctypes.CDLL(None).prctl(24, 19, 0, 0, 0),  # CAP_SYS_PTRACE
    )
    (loop,) = json.loads(report.read_text("utf-8"))["loops"]
    if loop["witness_error"] is None:
        pytest.skip("this machine lets a parent read every child")
    assert "named only when it ends: the kernel does not let the parent read" in done.stderr
    assert len(loop["stalls"]) == 1


@pytest.mark.parametrize("option", ["--no-witness", "--witness"])
def test_it_can_be_left_out(watched, option):
    source = f"""{HOLDS}
async def main():
    await asyncio.sleep(0.2)
    hold(0.5)
    await asyncio.sleep(0.2)
asyncio.run(main())
"""
    done = watched(source, options=[option, "--quiet"])
    (loop,) = done.review["loops"]
    stall = max(loop["stalls"], key=lambda one: one["seconds"])
    assert (stall["first_seen"] < stall["seconds"] / 2) is (option == "--witness")
    assert loop["witness_error"] is None


@pytest.fixture
def ends():
    """Both ends, in this process."""
    told, parents = [], []

    def tell(message, descriptors):
        if descriptors:
            parents.append(ParentWitness(0.05, told.append, *map(os.dup, descriptors)))
        parents[0].record(message)

    slots = Slots(0.05, tell)
    yield parents, slots
    for parent in parents:
        parent.close()
    os.close(slots._reports)


def test_so_many_loops_have_a_slot_and_a_slot_that_is_given_back_is_another_loops(ends):
    _, slots = ends
    taken = [slots.join(number, 0.0) for number in range(1, 9)]
    with pytest.raises(RuntimeError, match="8 loops have one"):
        slots.join(9, 0.0)
    taken[3].beat(Beat(1.0, 2, 3))
    taken[3].close()
    slots.join(10, 0.0)
    assert taken[0].collect() == []
    assert taken[0].ready, "the parent has read this process"


def test_what_is_seen_reaches_the_loop_whose_slot_it_is(ends):
    parents, slots = ends
    first, second = slots.join(1, 0.0), slots.join(2, 0.0)
    seen = {"at": 1.0, "silent": 0.5, "thread": 0, "frames": [("a.py", 3, "f")]}
    parents[0]._send({"slot": 1, **seen})
    assert first.collect() == []
    assert [tuple(one) for one in second.collect()] == [tuple(seen.values())]


def test_a_file_that_took_the_pipes_number_is_not_read(ends, tmp_path):
    _, slots = ends
    slot = slots.join(1, 0.0)
    (tmp_path / "own.txt").write_text("{}\n")
    with (tmp_path / "own.txt").open("rb") as own:
        os.dup2(own.fileno(), slots._reports)
        assert slot.collect() == []
        assert own.tell() == 0
        assert os.read(slots._reports, 10) == b"{}\n", "all of it is still the program's"
    assert "closed the pipe" in slot.refused


def test_a_parent_that_cannot_read_says_so_to_every_loop(ends, monkeypatch):
    from loopclinic.runner import parent_witness

    def refuse(*_):
        raise PermissionError("not allowed")

    monkeypatch.setattr(parent_witness, "reader_of", refuse)
    _, slots = ends
    slot = slots.join(1, 0.0)
    slot.collect()
    assert "does not let the parent read its child: not allowed" in slot.refused
    with pytest.raises(RuntimeError, match="not allowed"):
        slots.join(2, 0.0)
