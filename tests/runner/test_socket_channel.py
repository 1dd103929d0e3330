"""The channel between watched processes and their watcher, and what may become of it."""

import json
import os
import socket

import pytest

from loopclinic.runner.socket_channel import Listener, Sender

HELLO = {"pid": 1}


@pytest.fixture
def heard():
    return []


@pytest.fixture
def listener(heard):
    return Listener(lambda message, _: heard.append(message))


def close(listener, heard):
    """Let a listener hear all that was sent, and return each message's process and kind."""
    listener.close()
    return [(one["process"], one["kind"]) for one in heard]


@pytest.fixture
def sender(listener):
    made = []

    def make(**options):
        made.append(Sender(listener.key, lambda: HELLO, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_each_process_says_hello_first(sender, listener, heard):
    one, other = sender(), sender()
    one.send({"kind": "one", "text": "a\nb ü"})
    other.send({"kind": "two"})
    one.send({"kind": "three"})
    assert close(listener, heard)[:5].count((1, "hello")) == 1
    assert [one["kind"] for one in heard if one["process"] == 1][:3] == ["hello", "one", "three"]
    assert [one["kind"] for one in heard if one["process"] == 2][:2] == ["hello", "two"]
    assert next(one for one in heard if one["kind"] == "one")["text"] == "a\nb ü"


def test_the_end_of_a_process_is_heard_and_half_a_line_left_out(listener, heard):
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(listener.key["address"])
        hello = {"kind": "hello", "token": listener.key["token"]}
        raw.sendall(json.dumps(hello).encode() + b'\n[1]\n{"kind": "one"}\n{"kind": "tw')
    listener.close()
    assert [one["kind"] for one in heard] == ["hello", "one", "gone"]


def test_a_stranger_is_not_heard(listener, heard):
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(listener.key["address"])
        raw.sendall(b'{"kind": "hello", "token": "guessed"}\n{"kind": "one"}\n')
    listener.close()
    assert heard == []


def test_a_file_that_took_the_sockets_number_is_not_written_to(sender, listener, heard, tmp_path):
    one = sender()
    one.send({"kind": "one"})
    with (tmp_path / "own.txt").open("wb") as own:
        os.dup2(own.fileno(), one._socket.fileno())
        one.send({"kind": "two"})
    assert (tmp_path / "own.txt").read_bytes() == b""
    # It connected anew: the watcher hears of the same process once more.
    assert {(2, "hello"), (2, "two")} <= set(close(listener, heard))


def test_without_a_watcher_it_falls_silent(sender, listener):
    one = sender()
    one.send({"kind": "one"})
    listener.close()
    for _ in range(3):
        one.send({"kind": "two"})
    assert not one.open
    late = sender()
    late.send({"kind": "one"})
    assert not late.open


def test_what_the_program_starts_does_not_inherit_it(sender, listener):
    one = sender()
    one.send({"kind": "one"})
    assert not os.get_inheritable(one._socket.fileno())
    listener.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("children", [False, True])
def test_a_forked_process_connects_anew_or_falls_silent(sender, listener, heard, children):
    one = sender(children=children)
    one.send({"kind": "before"})
    pid = os.fork()
    if not pid:
        one.send({"kind": "child"})
        os._exit(one.open == children)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    one.send({"kind": "after"})
    found = close(listener, heard)
    assert {(1, "before"), (1, "after")} <= set(found)
    assert ((2, "child") in found) is children


def test_descriptors_come_with_their_message(tmp_path):
    heard = []
    listener = Listener(lambda message, descriptors: heard.append((message, descriptors)))
    one = Sender(listener.key, lambda: HELLO)
    reading, writing = os.pipe()
    one.send({"kind": "before"})
    one.send({"kind": "with"}, [writing])
    one.send({"kind": "after"})
    os.close(writing)
    listener.close()
    one.close()
    (sent,) = (descriptors for message, descriptors in heard if message["kind"] == "with")
    os.write(sent[0], b"by the pipe")
    assert os.read(reading, 20) == b"by the pipe"
    for descriptor in (reading, *sent):
        os.close(descriptor)
    assert sum(len(descriptors) for _, descriptors in heard) == 1
