"""Messages of the witness process, and their delivery by pipe and HTTP."""

import mmap
import os
import time

import pytest

from loopclinic.probe.gil_holder import STARVED, SURE, WAKES, Account, Holder, HolderCheck, Look
from loopclinic.probe.sidecar import BEAT, Beat, PipeWriter, Watch, named

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")


def read(descriptor):
    text = b""
    os.set_blocking(descriptor, False)
    while True:
        try:
            text += os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return text


def test_what_a_full_pipe_took_in_part_is_finished_before_anything_else():
    reading, writing = os.pipe()
    line = PipeWriter(writing)
    texts = [b"%03d" % number + b"x" * 9000 + b"\n" for number in range(30)]
    assert all(line.send(text) for text in texts)
    assert line.begun, "the pipe was to be full in the middle of a text"
    first = read(reading)
    assert line.send(b"last\n")
    lines = (first + read(reading)).splitlines(keepends=True)
    assert lines[-1] == b"last\n"
    assert lines[:-1] == texts[: len(lines) - 1]
    os.close(reading)
    assert not line.send(b"nobody reads\n")
    os.close(writing)


@pytest.mark.parametrize(
    ("frames", "file"),
    [
        ([("/me/a.py", 3, "f"), ("/lib/re.py", 9, "match")], "/me/a.py"),
        ([("/me/a.py", 3, "f"), ("/kit/probe/probe.py", 9, "start")], "/me/a.py"),
        (
            [("/me/a.py", 3, "f"), ("/kit/lessons/one/ladder.py", 9, "g")],
            "/kit/lessons/one/ladder.py",
        ),
        ([("/lib/a.py", 3, "f"), ("/lib/b.py", 9, "g")], "/lib/b.py"),
    ],
)
def test_the_innermost_line_of_the_users_own_is_named(frames, file):
    assert named(frames, "/kit/", ["/lib/"])["file"] == file


@pytest.mark.parametrize("below", [[], [("/lib/selectors.py", 468, "select")]])
def test_a_loop_at_rest_is_not_what_keeps_the_gil(below):
    frames = [("/me/a.py", 3, "main"), ("/kit/probe/meter.py", 196, "timed"), *below]
    assert named(frames, "/kit/", ["/lib/"]) is None


def look(*, beat=1.0, silent=0.1, wants=True, ran=0.0, turns=0, at="there"):
    holder = None if at is None else Holder(at, Account(wants, ran, 7))
    return Look(beat, silent, Account(True, 0.1, turns)), holder


def check(*looks):
    suspicion = HolderCheck()
    return [suspicion.certain(one, lambda holder=holder: holder) for one, holder in looks]


def test_who_works_on_at_one_place_with_a_gil_that_was_asked_for_keeps_it():
    asked = look(ran=0.01, turns=WAKES)
    assert check(look(), asked, look(ran=0.011 + SURE, turns=WAKES)) == [False, False, True]


def test_once_told_it_has_to_be_seen_anew():
    told = look(ran=0.02 + SURE, turns=WAKES)
    again = look(ran=0.03 + 2 * SURE, turns=WAKES)
    assert check(look(), look(ran=0.01, turns=WAKES), told, told, again)[2:] == [True, False, True]


@pytest.mark.parametrize(
    ("asked", "last"),
    [
        ({"ran": 0.1, "turns": 0}, {"ran": 0.2, "turns": WAKES - 1}),
        ({"ran": 0.1, "turns": WAKES}, {"ran": 0.1, "turns": 2 * WAKES}),
        ({"ran": 0.1, "turns": WAKES}, {"ran": 0.2, "turns": WAKES, "beat": 2.0}),
        ({"ran": 0.1, "turns": WAKES}, {"ran": 0.2, "turns": WAKES, "at": "elsewhere"}),
        ({"ran": 0.1, "turns": WAKES}, {"ran": 0.2, "turns": WAKES, "at": None}),
        ({"ran": 0.1, "turns": WAKES, "at": None}, {"ran": 0.2, "turns": WAKES, "at": None}),
        ({"ran": 0.1, "turns": WAKES, "at": None}, {"ran": 0.2, "turns": WAKES}),
    ],
    ids=[
        "nobody has asked",
        "who has it has no processor",
        "there was a beat",
        "it runs Python",
        "it has let go of it",
        "it has none",
        "it has it only now",
    ],
)
def test_what_is_no_kept_gil(asked, last):
    assert not any(check(look(), look(**asked), look(**last)))


def test_who_has_let_go_of_it_and_come_back_has_to_be_seen_anew():
    looks = [
        look(ran=number, turns=WAKES, at=at)
        for number, at in enumerate(["there", "elsewhere", "there", None, "there", "there"])
    ]
    assert check(look(), *looks) == [False] * 6 + [True]


def test_a_call_that_rests_with_the_gil_keeps_it_too():
    begun = look(silent=0.1, wants=False, turns=WAKES)
    soon = look(silent=0.101, wants=False, turns=WAKES)
    later = look(silent=0.101 + SURE, wants=False, turns=WAKES)
    assert check(look(), begun, soon, later) == [False, False, False, True]


def test_where_the_kernel_keeps_no_accounts_time_has_to_tell():
    def nothing(silent):
        return Look(1.0, silent, None), Holder("there", None)

    assert not any(check(nothing(0.1), nothing(0.2)))
    assert check(nothing(0.1), nothing(STARVED * 1.1)) == [False, True]


def test_where_the_thread_is_is_read_only_once_somebody_has_asked():
    def read():
        pytest.fail("to read it costs")

    suspicion = HolderCheck()
    for turns in range(WAKES):
        assert not suspicion.certain(look(turns=turns)[0], read)


def test_a_line_that_keeps_the_gil_after_another_is_told_at_once():
    class Program:
        at = "first"

        def position(self):
            return 7, self.at

        def stack(self):
            return 7, [("app.py", 1 if self.at == "first" else 2, "handler")]

    shared = mmap.mmap(-1, BEAT.size)
    BEAT.pack_into(shared, 0, *Beat(time.perf_counter() - 2 * STARVED, 7, 0))
    program = Program()
    watch = Watch(os.getpid(), program)
    told = [watch.look(shared) for _ in range(3)]
    program.at = "second"
    told += [watch.look(shared) for _ in range(3)]
    lines = [one and one.frames[0][1] for one in told]
    assert lines == [None, 1, None, None, 2, None]
