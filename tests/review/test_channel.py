"""The pipe between a program and who watches it, and what may become of it."""

import io
import os
import signal

import pytest

from loopclinic.review.channel import Sender, messages


@pytest.fixture
def pipe():
    ends = list(os.pipe())
    yield ends
    for descriptor in ends:
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_messages_come_through_one_a_line(pipe):
    reading, writing = pipe
    sender = Sender(writing)
    sender.send({"kind": "one", "text": "a\nb ü"})
    sender.send({"kind": "two"})
    os.close(writing)
    with os.fdopen(os.dup(reading), "rb") as stream:
        assert list(messages(stream)) == [{"kind": "one", "text": "a\nb ü"}, {"kind": "two"}]


def test_what_was_cut_off_in_the_middle_is_left_out():
    stream = io.BytesIO(b'{"kind": "one"}\n{"kind": "tw\n[1]\n{"kind": "three"}\n{"ki')
    assert [message["kind"] for message in messages(stream)] == ["one", "three"]


def test_a_file_that_took_the_descriptors_number_is_not_written_to(pipe, tmp_path):
    _, writing = pipe
    sender = Sender(writing)
    with (tmp_path / "own.txt").open("wb") as own:
        os.dup2(own.fileno(), writing)
        sender.send({"kind": "one"})
    assert (tmp_path / "own.txt").read_bytes() == b""
    assert not sender.open


def test_with_nobody_to_read_the_program_is_asked_to_end(pipe, monkeypatch):
    reading, writing = pipe
    asked = []
    monkeypatch.setattr(os, "kill", lambda *what: asked.append(what))
    sender = Sender(writing)
    os.close(reading)
    sender.send({"kind": "one"})
    sender.send({"kind": "two"})
    assert asked == [(os.getpid(), signal.SIGTERM)]


def test_what_the_program_starts_does_not_inherit_it(pipe):
    _, writing = pipe
    os.set_inheritable(writing, True)
    Sender(writing)
    assert not os.get_inheritable(writing)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_falls_silent(pipe):
    reading, writing = pipe
    sender = Sender(writing)
    pid = os.fork()
    if not pid:
        sender.send({"kind": "child"})
        os._exit(3 if sender.open else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    sender.send({"kind": "parent"})
    assert b"child" not in os.read(reading, 1000)
