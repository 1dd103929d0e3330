"""`loopclinic run [-m] TARGET …`: runs an asyncio program under the probe and prints its report."""

import argparse
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from loopclinic.cli.arguments import number_above, refuse, unwritable, write
from loopclinic.runner.live_view import live_view
from loopclinic.runner.program import Ending, Target
from loopclinic.runner.program import run as run_program
from loopclinic.runner.program_record import Recording
from loopclinic.runner.program_report import Review
from loopclinic.scanner.cache import folder
from loopclinic.scanner.options import settings_for
from loopclinic.scanner.scanning import scan_path


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "loopclinic run [options] [-m] TARGET [arguments of TARGET]"
    parser.epilog = (
        "The program runs as it would under python, with all your rights, its output and exit status "
        "unchanged. Python processes that it starts are also watched. In each of them one folder is "
        "added to PYTHONPATH, and LOOPCLINIC_RUN is set. The report quotes the command line."
    )
    parser.add_argument("-m", dest="module", action="store_true", help="TARGET is a module")
    parser.add_argument(
        "--threshold",
        type=_seconds,
        default=0.05,
        metavar="S",
        help="report an iteration as a stall if it is busy for longer than S seconds (default: 0.05)",
    )
    parser.add_argument(
        "--witness",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="name the line even while a call holds the GIL, by reading the program's memory "
        "(Linux; default: on)",
    )
    parser.add_argument(
        "--children",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="watch the Python processes that the program starts (default: on)",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as one page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument(
        "--timeline",
        type=Path,
        metavar="FILE",
        help="record what each task does, and write it for https://ui.perfetto.dev; it costs a few "
        "microseconds per task step",
    )
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="no live view, for a program that draws its own screen",
    )
    parser.add_argument(
        "--scan",
        type=Path,
        metavar="SRC",
        help="scan this code base as well, and say which of its findings stalled the program",
    )
    parser.add_argument("target", metavar="TARGET", help="a file, or a module with -m")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="arguments passed to TARGET"
    )


def run(args: argparse.Namespace) -> int:
    """Run the program and return its exit status; 2 if it can't be run."""
    target = Target(args.target, tuple(args.arguments), module=args.module)
    missing = (
        f"{args.scan}: no such file or folder." if args.scan and not args.scan.exists() else None
    )
    for complaint in (
        target.complaint,
        missing,
        *map(unwritable, (args.html, args.json, args.timeline)),
    ):
        if complaint is not None:
            return refuse(complaint)
    recording = Recording()
    with live_view(recording, str(target), args.threshold, quiet=args.quiet) as view:
        ending = run_program(
            target,
            view.handle,
            threshold=args.threshold,
            witness=args.witness,
            children=args.children,
            timeline=args.timeline is not None,
            on_beat=view.refresh,
        )
    review = Review.of(recording, target, ending, threshold=args.threshold)
    if args.scan is not None:
        try:
            options = settings_for(args.scan.absolute())
            review = review.scanned(scan_path(args.scan, options, cache=folder()))
        except (ValueError, OSError) as error:  # the program's own status stays what it is
            _say(f"  scan of {args.scan}: {error}")
    _say(str(review))
    files = (
        (args.html, review.to_html),
        (args.json, review.to_json),
        (args.timeline, lambda: json.dumps(recording.timeline())),
    )
    for path, text in files:
        if path is not None:
            write(path, text())
    _end_alike(ending)
    # Only process 1 of a container outlives that; a shell would say the same.
    return ending.status if ending.status >= 0 else 128 - ending.status


def _say(text: str) -> None:
    """Print to standard error, which may be closed or full: that must not change the exit status."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        sys.stderr = None  # Python flushes it once more at its end


def _seconds(text: str) -> float:
    return number_above(text, 0.0, "a number of seconds above zero")


def _end_alike(ending: Ending) -> None:
    """End by the signal that ended the program, so that a shell or a supervisor sees no difference."""
    if ending.status >= 0 or sys.platform == "win32":
        return
    sys.stderr.flush()
    with contextlib.suppress(OSError, ValueError):  # no second core file
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # SIGKILL has no handler to be set
        signal.signal(-ending.status, signal.SIG_DFL)
    os.kill(os.getpid(), -ending.status)
