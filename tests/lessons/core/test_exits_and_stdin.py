"""Reads of standard input by a lab are noticed, and find its end."""

import contextlib
import fileinput
import os
import sys

import pytest

from loopclinic.lessons.core.exits_and_stdin import no_keyboard


@pytest.fixture
def reads(monkeypatch):
    found = []
    for name in ("stdin", "__stdin__"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(os, "read", os.read)
    monkeypatch.setattr(os, "readv", getattr(os, "readv", None), raising=False)
    no_keyboard(lambda: found.append("read"))
    return found


def test_reads_are_noticed_and_give_nothing(reads):
    assert (sys.stdin.read(), sys.__stdin__.buffer.read()) == ("", b"")
    with fileinput.input([]) as lines:
        assert list(lines) == []
    assert len(reads) >= 3


@pytest.mark.parametrize("read", [lambda: os.fdopen(0, closefd=False), lambda: os.read(0, 0)])
def test_reads_past_sys_stdin_are_noticed(reads, read):
    with contextlib.suppress(OSError):  # pytest may have closed it
        read()
    assert reads


def test_other_descriptors_are_read_as_ever(reads):
    one, other = os.pipe()
    os.write(other, b"said")
    assert os.read(one, 10) == b"said"
    os.close(one)
    os.close(other)
    assert not reads


def test_input_finds_its_end(reads):
    with pytest.raises(EOFError):
        input()
    assert reads
