"""`loopclinic demo NN`: shows a lesson's problem and its fix, live in the terminal."""

import argparse
import asyncio
import importlib
import importlib.util
import sys

from rich.console import Console

from loopclinic.cli.arguments import add_lesson, refuse
from loopclinic.lessons import Lesson, lesson, lessons
from loopclinic.lessons.story.demo_output import show


def configure(parser: argparse.ArgumentParser) -> None:
    add_lesson(parser)


def run(args: argparse.Namespace) -> int:
    """Show the lesson's demo; 2 if it has none."""
    one = lesson(args.lesson)
    if not _has_demo(one):
        known = ", ".join(other.number for other in lessons() if _has_demo(other))
        return refuse(f"lesson {one.number} has no demo. Lessons with a demo: {known}.")
    # A plain selector loop, also where the platform's own has no selector to measure by.
    factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    # loopclinic: ignore[loop-per-call] the only one of this command
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(show(Console(), one, importlib.import_module(f"{one.package}.demo")))
    return 0


def _has_demo(one: Lesson) -> bool:
    return importlib.util.find_spec(f"{one.package}.demo") is not None
