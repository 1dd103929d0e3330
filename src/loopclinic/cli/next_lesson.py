"""`loopclinic next`: prints the next lesson, and which files to open."""

import argparse
import json

from loopclinic.checks import progress
from loopclinic.lessons import Lesson


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the lesson to take next."""
    one = progress.next_lesson(progress.read())
    if args.json:
        found = None
        if one is not None:
            lab = None if one.shipped is None else f"labs/{one.shipped.name}"
            found = {"number": one.number, "notebook": _notebook(one), "lab": lab}
        print(json.dumps(found))
    else:
        print(sentences(one))
    return 0


def sentences(one: Lesson | None) -> str:
    """Say what comes next; None stands for the end of the course."""
    if one is None:
        return "You have passed every lab. To repeat one, see: loopclinic list"
    lines = [
        f"Next: {one.number} {one.title}, {one.minutes} minutes. {one.summary}",
        f"  read   {_notebook(one)}",
    ]
    if one.shipped is not None:
        lines += [f"  edit   labs/{one.shipped.name}", f"  check  loopclinic watch {one.number}"]
    return "\n".join(lines)


def _notebook(one: Lesson) -> str:
    return f"notebooks/{one.name}.ipynb"
