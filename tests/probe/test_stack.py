"""Which frame, task and callback of a sampled stack is named as the user's own."""

import asyncio
import linecache
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest

import loopclinic
from loopclinic.probe import user_code
from loopclinic.probe.stack import of_frames, sample

PACKAGE = Path(loopclinic.__file__).parent


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (__file__, True),
        ("/home/ada/app/main.py", True),
        (str(PACKAGE / "probe" / "probe.py"), False),
        (str(PACKAGE / "lessons" / "blocking_sleep" / "ladder.py"), True),
        (str(Path(sysconfig.get_path("stdlib"), "asyncio", "events.py")), False),
        (str(Path(sysconfig.get_path("purelib"), "aiohttp", "client.py")), False),
        ("/usr/lib/python3/dist-packages/six.py", False),
        ("<frozen runpy>", False),
        ("<stdin>", True),
    ],
)
def test_whose_code_a_file_is(file, expected):
    assert user_code(file) is expected


def test_the_innermost_frame_of_the_users_own_code_is_named():
    found = []

    def mine(values):
        # json is standard library: the frame to name is this one, not json's.
        import json

        class Probed:
            def __repr__(self):
                return "x"

        json.dumps(values, default=lambda _: (found.append(sample(sys._getframe(1))), "x")[1])

    mine([object()])
    (one,) = found
    stack = one.stack()
    assert stack[one.guilty].function == "mine"
    assert stack[one.guilty].file == __file__
    assert stack[-1].function != "mine"
    assert linecache.getline(__file__, stack[one.guilty].line).strip() == stack[one.guilty].code


@dataclass(order=True)
class Price:
    amount: object


class Point(NamedTuple):
    x: int
    y: int


class Amount:
    """Notes the stack of who compares it."""

    seen: ClassVar[list] = []

    def __eq__(self, other):
        self.seen.append(sample(sys._getframe(1)))
        return False

    def __hash__(self):
        self.seen.append(sample(sys._getframe(1)))
        return 1


def test_what_dataclasses_and_namedtuple_write_is_not_the_users_own():
    amount = Amount()
    Amount.seen.clear()
    assert Price(amount) != Price(1)  # the line

    def traced(frame, event, _):
        if event == "return":
            Amount.seen.append(sample(frame))
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    Point(1, 2)  # the other line
    sys.settrace(before)
    compared, built = Amount.seen[:2]
    for found, line in ((compared, "# the line"), (built, "# the other line")):
        assert found.frames[-1][0] == "<generated>"
        assert linecache.getline(*found.place[:2]).strip().endswith(line)
        seen = [(file.replace("<generated>", "<string>"), *rest) for file, *rest in found.frames]
        assert of_frames(seen).place == found.place, "as it is seen from outside"


def test_what_exec_and_python_run_from_a_string_is_the_users_own():
    names = {"__name__": "__main__", "sample": sample, "sys": sys}
    code = "def price():\n    return sample(sys._getframe())\nfound = price()"
    exec(code, names)
    assert names["found"].place == ("<string>", 2, "price")
    assert of_frames([("<string>", 3, "<module>"), ("<string>", 2, "price")]).place[1] == 2
    names["__name__"] = "namedtuple_Price"
    exec(code, names)
    assert names["found"].place[0] == __file__


def test_without_user_code_the_innermost_frame_is_named():
    code = compile("def outer(read):\n    return read()\n", "<frozen made up>", "exec")
    names: dict = {"sample": sample, "sys": sys}
    exec(code, names)
    exec(compile("def inner():\n    return sys._getframe()\n", "<frozen inner>", "exec"), names)
    frame = names["inner"]()
    frame_only = sample(frame)
    assert frame_only.frames[frame_only.guilty][2] in (
        "inner",
        "test_without_user_code_the_innermost_frame_is_named",
    )


def test_a_line_that_only_runs_the_loop_is_not_named():
    found = []

    async def main():
        # Below the loop there is nobody's code but a library's.
        library = compile("def read(take):\n    take()\n", "<frozen library>", "exec")
        names: dict = {}
        exec(library, names)
        loop = asyncio.get_running_loop()
        loop.call_soon(names["read"], lambda: found.append(sample(sys._getframe(1))))
        await asyncio.sleep(0)

    asyncio.run(main())
    (one,) = found
    assert one.frames[one.guilty][0] == "<frozen library>"
    assert any(file == __file__ for file, _, _ in one.frames), "asyncio.run stands here"
    line = (__file__, 1, "test")
    runs = ("/usr/lib/python3.11/asyncio/runners.py", 190, "run")
    seen = of_frames([line, runs, ("/usr/lib/python3.11/json/__init__.py", 9, "dumps")])
    assert seen.guilty == 2
    assert of_frames([runs, line]).guilty == 1


def test_no_frame_is_no_sample():
    assert sample(None) is None


def test_a_deep_recursion_keeps_its_inner_end():
    def down(n):
        return sample(sys._getframe()) if n == 0 else down(n - 1)

    found = down(300)
    assert len(found.frames) == 60
    assert found.frames[-1][2] == "down"
    assert found.guilty == 59


async def test_the_task_the_coroutines_and_the_callback_at_work_are_told():
    found = []

    def plain():
        found.append(sample(sys._getframe(), asyncio.get_running_loop()))

    async def inner():
        plain()

    async def outer():
        await inner()

    await asyncio.create_task(outer(), name="charge 7")
    (one,) = found
    assert one.task == "charge 7"
    stack = one.stack()
    assert [frame.function for frame in stack if frame.coroutine] == ["outer", "inner"]
    assert one.callback[0] < one.callback[1]
    assert sample(sys._getframe(), object()).callback is None, "another loop's iteration"


def test_a_stack_from_outside_knows_its_coroutines_by_their_source():
    line = test_the_task_the_coroutines_and_the_callback_at_work_are_told.__code__.co_firstlineno
    frames = [(__file__, line + 12, test_whose_code_a_file_is.__name__)]
    here = [(__file__, line + 6, "inner"), (__file__, line + 4, "plain")]
    assert of_frames(frames + here).coroutines == {1}
