"""The table of commands, and the way from a command line to one of them."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import cast

import loopclinic
from loopclinic.places import KitNotFoundError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "lab": ("lab", "open JupyterLab on the first notebook"),
    "list": ("list_lessons", "all lessons, with minutes, progress and prerequisites"),
    "next": ("next_lesson", "the lesson to take next"),
    "check": ("check", "judge your lab file"),
    "watch": ("watch", "judge it again on every save"),
    "hint": ("hint", "a hint for a lab, a little more each time"),
    "reset": ("reset", "put a lab back as it shipped, and keep a backup of yours"),
    "solution": ("solution", "show the reference solution of a lab"),
    "demo": ("demo", "a lesson's before and after, live in the terminal"),
    "run": ("run", "any asyncio program under the probe, then its report"),
    "scan": ("scan", "find conflicts in a code base, without running it"),
    "compare": ("compare", "two designs or more under the same load, as one page"),
    "progress": (
        "progress",
        "what you have passed so far; a file of it to hand in; a whole room's",
    ),
    "doctor": ("doctor", "what works on this computer, and what to do about what does not"),
    "gallery": ("gallery", "run the notebooks and keep them as HTML"),
    "slides": ("slides", "the notebooks as slides, with what the speaker says"),
    "servers": ("servers", "the PostgreSQL that lessons share: up, status or down"),
    "uninstall": ("uninstall", "end servers, remove state and caches"),
}
"""Command -> its module in this package, and one line of help."""

REFUSALS = (KitNotFoundError, PermissionError)
"""Errors whose message is the sentence that a person needs; a traceback would hide it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 2 where the kit or the machine is at fault."""
    line = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A console without these characters shows a question mark; it must not end a command.
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    try:
        return _run(line)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (`| head`) left. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(line: list[str]) -> int:
    chosen = next((word for word in line if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog="loopclinic",
        description="See, measure and cure what hurts a Python event loop.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=14),
    )
    parser.add_argument("--version", action="version", version=loopclinic.__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    try:
        for name, (module_name, summary) in COMMANDS.items():
            command = commands.add_parser(
                name, help=summary, description=f"{summary}.".capitalize()
            )
            if name == chosen:
                module = importlib.import_module(f"{__package__}.{module_name}")
                module.configure(command)
        args, rest = parser.parse_known_args(line)
        if args.command is None:
            parser.print_help()
            return 0
        if rest and not getattr(module, "PASSES_ON", False):
            commands.choices[args.command].error(f"unrecognized arguments: {' '.join(rest)}")
        args.rest = rest
        return cast("int", module.run(args))
    except ModuleNotFoundError as error:
        if (error.name or "loopclinic").split(".")[0] == "loopclinic":
            raise
        return _refuse(
            f"{chosen} needs {error.name}: install the kit with pip install 'loopclinic[kit]'."
        )
    except REFUSALS as error:
        return _refuse(_sentence(error))
    except (LookupError, RuntimeError) as error:
        # By name, so that not every command imports the lessons.
        if type(error).__name__ not in ("UnknownLessonError", "NoLabError", "ProgressError"):
            raise
        return _refuse(_sentence(error))


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}. Change its permissions, then try again."
    return str(error)


def _refuse(sentence: str) -> int:
    print(f"loopclinic: {sentence}", file=sys.stderr)
    return 2
