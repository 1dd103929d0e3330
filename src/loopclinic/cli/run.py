"""`loopclinic run [-m] TARGET …`: any asyncio program under the probe, then its report."""

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path

from loopclinic.cli.writing import unwritable, write
from loopclinic.review.live import live_view
from loopclinic.review.program import Ending, Target
from loopclinic.review.program import run as run_program
from loopclinic.review.recording import Recording
from loopclinic.review.review import Review

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.usage = "loopclinic run [options] [-m] TARGET [arguments of TARGET]"
    parser.epilog = (
        "The program runs as it would under python, with all your rights; its output and its exit "
        "status are its own. Processes that it starts are not watched. The report quotes the "
        "command line."
    )
    parser.add_argument("-m", dest="module", action="store_true", help="TARGET is a module")
    parser.add_argument(
        "--threshold",
        type=_seconds,
        default=0.05,
        metavar="S",
        help="seconds of one busy iteration from which on it is a stall (default: 0.05)",
    )
    parser.add_argument(
        "--witness",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="name the line also while a call keeps the GIL: this command reads it in the program's "
        "memory (Linux; default: on)",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as one page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="no live view, as for a program that draws its own screen",
    )
    parser.add_argument("target", metavar="TARGET", help="a file, or a module with -m")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="what TARGET is given"
    )


def run(args: argparse.Namespace) -> int:
    """Run the program and return its exit status; 2 if it can't be run."""
    target = Target(args.target, tuple(args.arguments), module=args.module)
    for complaint in (target.complaint, unwritable(args.html), unwritable(args.json)):
        if complaint is not None:
            print(f"loopclinic: {complaint}", file=sys.stderr)
            return 2
    recording = Recording()
    with live_view(recording, str(target), args.threshold, quiet=args.quiet) as view:
        ending = run_program(
            target,
            view.hear,
            threshold=args.threshold,
            witness=args.witness,
            on_beat=view.refresh,
        )
    review = Review.of(recording, target, ending, threshold=args.threshold)
    print(review, file=sys.stderr)
    for path, text in ((args.html, review.to_html), (args.json, review.to_json)):
        if path is not None:
            write(path, text())
    _end_alike(ending)
    # Only process 1 of a container outlives that; a shell would say the same.
    return ending.status if ending.status >= 0 else 128 - ending.status


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above zero")
    return seconds


def _end_alike(ending: Ending) -> None:
    """End by the signal that ended the program, so that a shell or a supervisor sees no difference."""
    if ending.status >= 0 or sys.platform == "win32":
        return
    sys.stderr.flush()
    with contextlib.suppress(OSError, ValueError):  # no second core file
        import resource  # noqa: PLC0415 - not on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # SIGKILL has no handler to be set
        signal.signal(-ending.status, signal.SIG_DFL)
    os.kill(os.getpid(), -ending.status)
