"""`loopclinic demo`: before and after in a terminal, and what it says where there is none."""

import importlib
import inspect
import io
import re
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from loopclinic.cli import demo as command
from loopclinic.cli.main import main
from loopclinic.lessons import lesson, lessons
from loopclinic.lessons.blocking_sleep import demo
from loopclinic.lessons.story.demo_output import show


def milliseconds(text):
    value, unit = re.fullmatch(r"([\d.]+) (ms|s)", text).groups()
    return float(value) * (1000 if unit == "s" else 1)


@pytest.mark.prove
async def test_before_and_after_of_lesson_01():
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    began = time.monotonic()
    await show(console, lesson("01"), demo)
    assert time.monotonic() - began < 30
    text = console.file.getvalue()
    assert "STUCK for" in text  # seen while it was stuck
    assert "ladder.py:" in text
    row = next(line for line in text.splitlines() if "again, half of them" in line)
    before, after, alone = re.findall(r"[\d.]+ m?s", row)
    assert milliseconds(before) > 2 * milliseconds(after)
    assert alone == "20.0 ms"
    assert "time.sleep(BACKOFF" in text
    assert "loopclinic check 01" in text


def test_a_lesson_without_a_demo_names_those_with_one(capsys):
    assert main(["demo", "00"]) == 2
    assert "Lessons with a demo: 01" in capsys.readouterr().err


@pytest.mark.parametrize("one", [*filter(command._has_demo, lessons())], ids=lambda one: one.name)
def test_a_demo_has_a_scene_and_returns_what_it_shows_last(one):
    module = importlib.import_module(f"{one.package}.demo")
    assert 1 <= module.SCENE.count("\n") + 1 <= 2
    assert inspect.iscoroutinefunction(module.demo)
    assert list(inspect.signature(module.demo).parameters) == ["console"]


async def test_a_demo_stands_between_its_title_and_where_to_go_on():
    async def last(console):
        console.print("first")
        return "last"

    console = Console(file=io.StringIO(), width=100)
    await show(console, lesson("01"), SimpleNamespace(SCENE="A scene.", demo=last))
    title, scene, first, end, fix = filter(None, console.file.getvalue().splitlines())
    assert title == f"01  {lesson('01').title}"
    assert (scene, first, end) == ("A scene.", "first", "last")
    assert "loopclinic check 01" in fix


def test_which_lessons_have_a_demo():
    assert command._has_demo(lesson("01"))
    assert not command._has_demo(lesson("00"))
