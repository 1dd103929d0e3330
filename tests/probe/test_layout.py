"""The reader of this interpreter's stacks, proved at start; which line an instruction stands on."""

import asyncio
import inspect
import struct
import sys
import threading
from types import CodeType

import pytest

from loopclinic.probe import layout, remote_stack
from loopclinic.probe.layout import LayoutError, described, own_memory, published
from loopclinic.probe.remote_stack import UnreadableError, of_json, position_at
from loopclinic.probe.witness import Witness

readable = pytest.mark.skipif(Witness.unsuitable() is not None, reason=str(Witness.unsuitable()))
by_layout = pytest.mark.skipif(sys.version_info >= (3, 15), reason="3.15 has its own reader")
by_cpython = pytest.mark.skipif(
    sys.version_info < (3, 15), reason="CPython's own reader: from 3.15"
)


@readable
def test_this_interpreters_stacks_read_as_they_should_on_any_thread():
    found = []

    def look():
        with own_memory() as mem:
            found.append(of_json(described(mem)))

    look()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    here, there = found
    if sys.version_info >= (3, 15):
        assert (here, there) == (None, None)
        return
    assert here.state != there.state
    assert here._replace(state=0) == there._replace(state=0)


@readable
@by_layout
@pytest.mark.parametrize(
    "field",
    [
        *("state_native", "state_frame", "frame_code", "frame_previous", "frame_instruction"),
        *("frame_owner", "code_file", "code_name", "code_table", "code_line", "code_first"),
        *("text_ascii", "text_compact", "gil_holder", "gil_locked"),
    ],
)
def test_one_wrong_number_is_enough_to_be_refused(monkeypatch, field):
    true = layout._layout

    def wrong(library):
        right = true(library)
        return right._replace(**{field: getattr(right, field) + 8})

    monkeypatch.setattr(layout, "_layout", wrong)
    with own_memory() as mem, pytest.raises(LayoutError, match="elsewhere than expected"):
        described(mem)


@readable
@by_cpython
@pytest.mark.parametrize(
    "wrong",
    [
        lambda frame: (frame.filename, frame.location.lineno + 1, frame.funcname),
        lambda frame: (frame.filename, frame.location.lineno, "f"),
        lambda frame: ("elsewhere.py", frame.location.lineno, frame.funcname),
    ],
    ids=["line", "function", "file"],
)
def test_what_cpythons_own_reader_gets_wrong_is_refused(monkeypatch, wrong):
    monkeypatch.setattr(remote_stack, "_place", wrong)
    with own_memory() as mem, pytest.raises(LayoutError, match="reads its own stack otherwise"):
        described(mem)


@readable
@by_cpython
def test_a_reader_that_sees_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(remote_stack.RemoteReader, "moving_stack", lambda _: None)
    with own_memory() as mem, pytest.raises(LayoutError, match="reads its own stack otherwise"):
        described(mem)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("Py_GIL_DISABLED", 1, "free-threaded"),
        ("_remote_debugging", None, "without the module _remote_debugging"),
        ("machine", "s390x", "s390x"),
    ],
)
def test_why_an_interpreter_can_not_be_read_is_said(monkeypatch, name, value, words):
    if name == "Py_GIL_DISABLED":
        monkeypatch.setattr(layout.sysconfig, "get_config_var", {name: value}.get)
    elif name == "machine":
        monkeypatch.setattr(layout.platform, "machine", lambda: value)
        monkeypatch.setattr(layout.sys, "version_info", (3, 14, 0))
    else:
        monkeypatch.setattr(layout, "find_spec", lambda _: value)
        monkeypatch.setattr(layout.sys, "version_info", (3, 15, 0))
    assert words in layout.refusal()


VERSIONS = [(3, 13), (3, 14)]


def beginning(python, **values):
    """Return what _PyRuntime would begin with in this version of Python."""
    numbers = {field: 1000 + index for index, field in enumerate(layout._fields(python))}
    numbers |= {"version": python[0] << 24 | python[1] << 16 | 0xF0, "free_threaded": 0, **values}
    return struct.pack(f"<8s{len(numbers)}Q", b"xdebugpy", *numbers.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_published_is_taken_by_its_name(version):
    values = {"state.frame": 72, "code.first": 200, "text.ascii": 40}
    found = published(beginning(version, **values), version)
    assert (found.state_frame, found.record_frame) == (72, -1)
    assert (found.code_first, found.code_traceable) == (200, 184)
    assert (found.text_ascii, found.text_compact) == (40, 56)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "begin",
    [
        lambda version: beginning(version, version=0x030F00F0),
        lambda version: b"another" + beginning(version)[7:],
        lambda version: bytes(len(beginning(version))),
    ],
    ids=["3.15", "another cookie", "nothing"],
)
def test_what_is_published_in_another_form_is_not_guessed_at(version, begin):
    with pytest.raises(LayoutError, match="does not publish"):
        published(begin(version), version)


def codes(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@pytest.mark.parametrize("module", [asyncio.base_events, struct, threading])
def test_lines_are_those_that_the_interpreter_gives(module):
    source = inspect.getsource(module)
    told = 0
    for code in codes(compile(source, module.__file__, "exec")):
        for begin, end, line in code.co_lines():
            for offset in range(begin, end, 2):
                assert position_at(code.co_linetable, code.co_firstlineno, offset)[0] == (line or 0)
                told += 1
        with pytest.raises(UnreadableError):
            position_at(code.co_linetable, code.co_firstlineno, len(code.co_code))
    assert told


def test_a_function_that_has_not_begun_stands_on_its_first_line():
    assert position_at(b"", 7, -2) == (7, None)


@pytest.mark.parametrize("table", [b"", b"\xff", b"\xf0", b"\x00\x00", bytes(range(256))])
def test_bytes_that_are_no_table_end_somewhere(table):
    with pytest.raises(UnreadableError):
        position_at(table, 1, 1 << 20)
