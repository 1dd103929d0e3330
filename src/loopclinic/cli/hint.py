"""`loopclinic hint NN`: a hint, a little more each time."""

import argparse
import json
from dataclasses import asdict

from loopclinic.checks.progress import next_hint
from loopclinic.cli.arguments import add_lesson
from loopclinic.lessons import lesson


def configure(parser: argparse.ArgumentParser) -> None:
    add_lesson(parser)
    parser.add_argument("--json", action="store_true", help="print the hint as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the next hint."""
    one = lesson(args.lesson)
    hint = next_hint(one)
    if args.json:
        print(json.dumps(None if hint is None else asdict(hint), ensure_ascii=False))
    elif hint is None:
        print(f"Lesson {one.number} has no hints.")
    else:
        print(f"{hint}\n{hint.then(one.number)}")
    return 0
