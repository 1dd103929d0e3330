"""`loopclinic check NN`: judge a lab."""

import argparse
from pathlib import Path

from rich.console import Console

from loopclinic.checks.checking import check
from loopclinic.cli.lesson_argument import add_lesson
from loopclinic.cli.verdict_view import EXIT, show_verdict
from loopclinic.verdict import Verdict

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_lesson(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--solution", action="store_true", help="judge the reference solution instead"
    )
    which.add_argument(
        "--file", type=Path, metavar="PATH", help="judge this file by the same contract"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.add_argument("--seed", type=int, metavar="N", help="replay the verdict with this seed")


def run(args: argparse.Namespace) -> int:
    """Print the verdict; 0 passed, 1 the lab's doing, 2 the kit's or the machine's."""
    console = Console()
    if args.json:
        verdict = _check(args)
        print(verdict.to_json())
    elif console.is_terminal:
        with console.status("Checking …") as status:
            verdict = _check(args, on_step=lambda step: status.update(f"Checking: {step} …"))
        show_verdict(verdict, console)
    else:
        verdict = _check(args)
        show_verdict(verdict, console)
    return EXIT[verdict.status]


def _check(args: argparse.Namespace, **options: object) -> Verdict:
    return check(
        args.lesson,
        file=args.file,
        solution=args.solution,
        seed=args.seed,
        **options,  # type: ignore[arg-type]
    )
