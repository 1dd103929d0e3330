"""What the process beside the program says, and how it gets through."""

import os

import pytest

from loopclinic.probe.sidecar import Line, named

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
