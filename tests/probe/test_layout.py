"""Where this interpreter says, or is known, to keep its stacks; which line an instruction stands on."""

import asyncio
import inspect
import struct
import sys
import threading
from types import CodeType

import pytest

from loopclinic.probe import layout
from loopclinic.probe.layout import LayoutError, known, lays_out, own_memory, published
from loopclinic.probe.linetable import line_at
from loopclinic.probe.memory import UnreadableError

readable = pytest.mark.skipif(
    sys.platform != "linux" or not lays_out(), reason="needs Linux and CPython 3.11 to 3.13"
)


@readable
def test_this_interpreters_stacks_read_as_they_should_on_any_thread():
    found = []

    def look():
        with own_memory() as mem:
            found.append(known(mem))

    look()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    here, there = found
    assert (here.ident, there.ident) == (threading.get_ident(), thread.ident)
    assert here.state != there.state
    assert here._replace(ident=0, state=0) == there._replace(ident=0, state=0)


@readable
@pytest.mark.parametrize(
    "field",
    [
        *("state_ident", "state_frame", "frame_code", "frame_previous", "frame_instruction"),
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
        known(mem)


def beginning(**values):
    """Return what _PyRuntime would begin with."""
    numbers = {field: 1000 + index for index, field in enumerate(layout._FIELDS)}
    numbers |= {"version": 0x030D00F0, "free_threaded": 0, **values}
    return struct.pack(f"<8s{len(numbers)}Q", b"xdebugpy", *numbers.values())


def test_what_is_published_is_taken_by_its_name():
    found = published(beginning(**{"state.frame": 72, "code.first": 200, "text.ascii": 40}))
    assert (found.state_frame, found.record_frame) == (72, -1)
    assert (found.code_first, found.code_traceable) == (200, 184)
    assert (found.text_ascii, found.text_compact) == (40, 56)


@pytest.mark.parametrize(
    "begin",
    [beginning(version=0x030E00F0), b"another" + beginning()[7:], bytes(len(beginning()))],
    ids=["3.14", "another cookie", "nothing"],
)
def test_what_is_published_in_another_form_is_not_guessed_at(begin):
    with pytest.raises(LayoutError, match="does not publish"):
        published(begin)


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
                assert line_at(code.co_linetable, code.co_firstlineno, offset) == (line or 0)
                told += 1
        with pytest.raises(UnreadableError):
            line_at(code.co_linetable, code.co_firstlineno, len(code.co_code))
    assert told


def test_a_function_that_has_not_begun_stands_on_its_first_line():
    assert line_at(b"", 7, -2) == 7


@pytest.mark.parametrize("table", [b"", b"\xff", b"\xf0", b"\x00\x00", bytes(range(256))])
def test_bytes_that_are_no_table_end_somewhere(table):
    with pytest.raises(UnreadableError):
        line_at(table, 1, 1 << 20)
