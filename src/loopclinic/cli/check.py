"""`loopclinic check NN`: judge a lab."""

import argparse
from pathlib import Path

from rich.console import Console

from loopclinic.checks.checking import check
from loopclinic.cli.arguments import add_lesson
from loopclinic.cli.verdict_view import EXIT, show_verdict


def configure(parser: argparse.ArgumentParser) -> None:
    add_lesson(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--solution", action="store_true", help="judge the reference solution")
    other = "judge this file by the same contract"
    which.add_argument("--file", type=Path, metavar="PATH", help=other)
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.add_argument("--seed", type=int, metavar="N", help="replay the verdict with this seed")


def run(args: argparse.Namespace) -> int:
    """Print the verdict; 0 passed, 1 the lab's doing, 2 the kit's or the machine's."""
    console = Console(quiet=args.json)
    given = {name: getattr(args, name) for name in ("file", "solution", "seed")}
    if console.is_terminal and not args.json:
        with console.status("Checking …") as status:
            given["on_step"] = lambda step: status.update(f"Checking: {step} …")
            verdict = check(args.lesson, **given)
    else:
        verdict = check(args.lesson, **given)
    if args.json:
        print(verdict.to_json())
    else:
        show_verdict(verdict, console)
    return EXIT[verdict.status]
