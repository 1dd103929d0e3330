"""Entry point of the command line: the table of subcommands, and how errors become exit statuses."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import cast

import loopclinic
from loopclinic.cli.arguments import refuse
from loopclinic.paths import KitNotFoundError

COMMANDS = {
    "init": ("init", "lay the kit out in a folder, if it was installed without a clone"),
    "lab": ("lab", "open JupyterLab on the first notebook"),
    "list": ("list_lessons", "list all lessons, with minutes, progress and prerequisites"),
    "next": ("next_lesson", "show the lesson to take next"),
    "check": ("check", "judge your lab file"),
    "watch": ("watch", "judge your lab file on every save"),
    "hint": ("hint", "show a hint for a lab, a little more each time"),
    "reset": ("reset", "restore a lab as it shipped, and back up your version"),
    "solution": ("solution", "show the reference solution of a lab"),
    "recall": ("recall", "ask your wrong guesses again after three days"),
    "demo": ("demo", "show a lesson's problem and its fix, live in the terminal"),
    "run": ("run", "run any asyncio program under the probe, then report"),
    "attach": ("attach", "show what a running process is stuck at, from outside"),
    "scan": ("scan", "find conflicts in a code base, without running it"),
    "compare": ("compare", "compare designs under the same load, as one page"),
    "room": ("room", "show where everybody in a workshop's room is"),
    "join": ("join", "send your progress to a live room"),
    "progress": ("progress", "show your progress, export it, or summarize a group's"),
    "doctor": ("doctor", "check what works on this computer, and how to fix the rest"),
    "gallery": ("gallery", "run the notebooks and keep them as HTML"),
    "slides": ("slides", "write the notebooks as slides, with speaker's notes"),
    "update": ("update", "bring what is new in the kit; your edited labs stay"),
    "servers": ("servers", "start, show or stop a PostgreSQL that lessons share"),
    "uninstall": ("uninstall", "stop servers, remove state and caches"),
}
"""Command -> its module in this package, and one line of help."""

REFUSALS = (KitNotFoundError, PermissionError)
"""Errors whose message is the sentence that a person needs; a traceback would hide it."""
_NAMED = {"UnknownLessonError", "NoLabError", "ProgressError", "UpdateError"}


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
        description="See, measure and fix what blocks a Python event loop.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=14),
    )
    parser.add_argument("--version", action="version", version=loopclinic.__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    try:
        for name, (module_name, summary) in COMMANDS.items():
            about = f"{summary[0].upper()}{summary[1:]}."
            command = commands.add_parser(name, help=summary, description=about)
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
        step = "install the kit with pip install 'loopclinic[kit]'."
        return refuse(f"{chosen} needs {error.name}: {step}")
    except REFUSALS as error:
        return refuse(_sentence(error))
    except (LookupError, RuntimeError) as error:
        # By name, so that not every command imports the lessons.
        if type(error).__name__ not in _NAMED:
            raise
        return refuse(_sentence(error))


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}. Change its permissions, then try again."
    return str(error)
