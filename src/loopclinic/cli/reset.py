"""`loopclinic reset NN`: restores a lab as it shipped, and keeps a backup."""

import argparse
import json

from loopclinic.checks.lab_files import Restored, reset
from loopclinic.cli.arguments import add_lesson
from loopclinic.cli.verdict_view import short_path
from loopclinic.lessons import lesson


def configure(parser: argparse.ArgumentParser) -> None:
    add_lesson(parser)
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run(args: argparse.Namespace) -> int:
    """Reset the lab and say where the backup is."""
    done = reset(lesson(args.lesson))
    if args.json:
        backup = None if done.backup is None else str(done.backup)
        print(json.dumps({"file": str(done.path), "backup": backup, "changed": done.changed}))
    else:
        print(sentence(done))
    return 0


def sentence(done: Restored) -> str:
    """Say what a reset did."""
    path = short_path(done.path)
    if not done.changed:
        return f"{path} is already as it shipped."
    if done.backup is None:
        return f"{path} was missing and has been restored."
    return f"{path} is as it shipped again. Your version is saved as {done.backup}."
