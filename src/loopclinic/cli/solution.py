"""`loopclinic solution NN`: shows the reference solution, after a pass or on request."""

import argparse
import difflib
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax

from loopclinic.checks import lab_files, progress
from loopclinic.cli.arguments import add_lesson, agreed, refuse
from loopclinic.cli.verdict_view import short_path
from loopclinic.lessons import Lesson, lesson


def configure(parser: argparse.ArgumentParser) -> None:
    add_lesson(parser)
    parser.add_argument("--yes", "-y", action="store_true", help="show it even before a pass")
    difference = "show the difference from your file instead"
    parser.add_argument("--diff", action="store_true", help=difference)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the solution; return 1 if the user declined."""
    one = lesson(args.lesson)
    path = lab_files.solution_path(one)
    if not (args.yes or progress.read().of(one.name).passed or _asked(one)):
        return 1
    try:
        text = _read(path)
    except FileNotFoundError:
        return refuse(f"{path} is missing. Restore it with: git checkout -- solutions")
    with progress.change() as kept:
        kept.of(one.name).solution_seen = progress.timestamp()
    if args.diff:
        text = _diff(lab_files.lab_path(one), path, text)
    if args.json:
        print(json.dumps({"file": str(path), "text": text}, ensure_ascii=False))
        return 0
    console = Console()
    if console.is_terminal:
        console.print(Syntax(text, "diff" if args.diff else "python", theme="ansi_dark"))
    else:
        print(text, end="" if text.endswith("\n") else "\n")
    return 0


def _asked(one: Lesson) -> bool:
    if not sys.stdin.isatty():
        anyway = f"To see the solution anyway: loopclinic solution {one.number} --yes"
        print(f"Lab {one.number} has not passed yet. {anyway}", file=sys.stderr)
        return False
    return agreed(f"Lab {one.number} has not passed yet. Show the solution anyway?")


def _read(path: Path) -> str:
    if path.is_dir():
        files = sorted(path.rglob("*.py"))
        return "\n".join(
            f"# {file.relative_to(path.parent)}\n{file.read_text('utf-8')}" for file in files
        )
    return path.read_text("utf-8")


def _diff(lab: Path, solution: Path, text: str) -> str:
    try:
        own = _read(lab)
    except (OSError, UnicodeDecodeError):
        own = ""
    old, new = own.splitlines(keepends=True), text.splitlines(keepends=True)
    lines = difflib.unified_diff(old, new, short_path(lab), short_path(solution))
    return "".join(lines) or "Your file is identical to the solution.\n"
