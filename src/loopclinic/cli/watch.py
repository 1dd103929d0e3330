"""`loopclinic watch [NN]`: checks a lab again on every save."""

import argparse
import queue
import sys
import threading
from collections.abc import Callable
from functools import partial

from rich.console import Console

from loopclinic.checks import checking, lab_files, progress
from loopclinic.checks.watching import Watching
from loopclinic.cli import keyboard, next_lesson, reset
from loopclinic.cli.arguments import add_lesson
from loopclinic.cli.list_lessons import lesson_table
from loopclinic.cli.verdict_view import short_path, show_verdict
from loopclinic.lessons import Lesson, lesson
from loopclinic.verdict import Verdict

_KEYS = "h hint   n next   l list   r reset   q quit"


def configure(parser: argparse.ArgumentParser) -> None:
    add_lesson(parser, optional=True)


def run(args: argparse.Namespace) -> int:
    """Watch until q or Ctrl-C."""
    one = progress.next_lab(progress.read()) if args.lesson is None else lesson(args.lesson)
    if one is None:
        print(next_lesson.sentences(None))
        return 0
    console = Console()
    with keyboard.keys() as pressed:
        session: _Session | None = _Session(one, console, pressed)
        while session is not None:
            session = session.run()
    return 0


class _Session:
    """The watch of one lab; everything is printed from the thread that called `run`."""

    def __init__(self, one: Lesson, console: Console, pressed: keyboard.Pressed) -> None:
        self._lesson, self._console, self._pressed = one, console, pressed
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._following: Lesson | None = None
        self._done = threading.Event()
        check = partial(checking.check, one.number, say=self._say)
        self._watching = Watching(
            lab_files.lab_path(one),
            lambda on_step, stop: check(on_step=on_step, stop=stop),
            on_start=lambda: self._post(lambda: self._status("Checking …")),
            on_step=lambda step: self._post(lambda: self._status(f"Checking: {step} …")),
            on_verdict=lambda verdict: self._post(lambda: self._show(verdict)),
        )

    def run(self) -> "_Session | None":
        """Watch, and return the session to go on with, None to quit."""
        self._watching.start(check_now=True)
        try:
            while not self._done.is_set():
                try:
                    self._events.get_nowait()()
                except queue.Empty:
                    self._press(self._pressed(0.1))
        finally:
            self._watching.stop()
        if self._following is None:
            return None
        return _Session(self._following, self._console, self._pressed)

    def _post(self, event: Callable[[], None]) -> None:
        self._events.put(event)

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def _say(self, sentence: str) -> None:
        self._post(lambda: self._print(sentence))

    def _status(self, text: str) -> None:
        if self._console.is_terminal:
            sys.stdout.write(f"\r\x1b[2K{text[: self._console.width - 1]}")
            sys.stdout.flush()

    def _show(self, verdict: Verdict) -> None:
        if self._console.is_terminal:
            self._console.clear()
        show_verdict(verdict, self._console)
        self._print(f"Watching {short_path(self._watching.path)}; save it to check again.")
        if self._console.is_terminal:
            self._print(_KEYS, "dim")

    def _press(self, key: str | None) -> None:
        match key:
            case "h":
                hint = progress.next_hint(self._lesson)
                self._print("This lesson has no hints." if hint is None else str(hint))
            case "l":
                self._console.print(lesson_table(progress.read()))
            case "n":
                self._next()
            case "r":
                self._print("Restore the lab as it shipped? Your version is backed up. [y/n]")
                if self._answer() == "y":
                    self._print(reset.sentence(lab_files.reset(self._lesson)))
            case "q" | "\x04":
                self._done.set()

    def _answer(self) -> str:
        while (key := self._pressed(0.5)) is None:
            pass
        return key.lower()

    def _next(self) -> None:
        following = progress.next_lab(progress.read())
        if following is None:
            self._print(next_lesson.sentences(None))
        elif following == self._lesson:
            self._print("There is no other lab to go to: this is the next one to pass.")
        else:
            self._following = following
            self._done.set()
