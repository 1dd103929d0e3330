"""What the process beside the program says, and how it gets through."""

import os

import pytest

from loopclinic.probe.audience import Line
from loopclinic.probe.sidecar import named
from loopclinic.probe.suspicion import STARVED, SURE, WAKES, Account, Look, Suspicion

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
    line = Line(writing)
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


def look(beat=1.0, wants=True, ran=0.0, waiter_wants=False, turns=0):
    return Look(beat, Account(wants, ran, 7), Account(waiter_wants, 0.1, turns))


def grows(*looks, silent=0.1):
    suspicion = Suspicion()
    return [suspicion.grows(one, silent) for one in looks]


def test_who_works_on_without_letting_go_of_a_gil_that_was_asked_for_keeps_it():
    asked = look(ran=0.01, turns=WAKES)
    assert grows(look(), asked, look(ran=0.02 + SURE, turns=WAKES + 1)) == [False, False, True]


def test_once_told_it_has_to_be_seen_anew():
    told = look(ran=0.02 + SURE, turns=WAKES)
    again = look(ran=0.03 + 2 * SURE, turns=WAKES)
    assert grows(look(), look(ran=0.01, turns=WAKES), told, told, again)[2:] == [True, False, True]


@pytest.mark.parametrize(
    ("asked", "last"),
    [
        ({"ran": 0.1, "turns": 0}, {"ran": 0.2, "turns": WAKES - 1}),
        ({"ran": 0.1, "turns": WAKES}, {"ran": 0.2, "turns": WAKES, "waiter_wants": True}),
        ({"ran": 0.1, "turns": WAKES}, {"ran": 0.1, "turns": 2 * WAKES}),
        ({"ran": 0.1, "turns": WAKES}, {"ran": 0.2, "turns": WAKES, "beat": 2.0}),
    ],
    ids=["it waits elsewhere", "it has no processor", "the loop has none", "there was a beat"],
)
def test_what_is_no_kept_gil(asked, last):
    assert not any(grows(look(), look(**asked), look(**last)))


def test_a_call_that_keeps_the_gil_and_waits_is_told_of_later():
    looks = [look(wants=False, turns=turns) for turns in (0, WAKES, 2 * WAKES)]
    assert not any(grows(*looks))
    assert grows(*looks, silent=STARVED * 1.1)[-1]


def test_where_the_kernel_keeps_no_accounts_time_alone_has_to_tell():
    nothing = Look(1.0, None, None)
    assert not any(grows(nothing, nothing))
    assert all(grows(nothing, nothing, silent=STARVED * 1.1))
