"""`loopclinic run [-m] TARGET …`: runs an asyncio program under the probe and prints its report."""

import argparse
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from loopclinic.cli.arguments import refuse, seconds, unwritable, write_all
from loopclinic.runner.live_view import live_view
from loopclinic.runner.program import Ending, Target
from loopclinic.runner.program import run as run_program
from loopclinic.runner.program_record import Recording
from loopclinic.runner.program_report import Review
from loopclinic.scanner import scan


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "loopclinic run [options] [-m] TARGET [arguments of TARGET]"
    parser.epilog = (
        "The program runs as it would under python, with all your rights, its output and exit status "
        "unchanged. Python processes that it starts are also watched. In each of them one folder is "
        "added to PYTHONPATH, and LOOPCLINIC_RUN is set. The report quotes the command line."
    )
    add, on_off = parser.add_argument, argparse.BooleanOptionalAction
    add("-m", dest="module", action="store_true", help="TARGET is a module")
    stall = "report an iteration as a stall if it is busy for longer than S seconds (default: 0.05)"
    add("--threshold", type=seconds, default=0.05, metavar="S", help=stall)
    held = "name the line even while a call holds the GIL, by reading the program's memory "
    held += "(Linux; default: on)"
    add("--witness", action=on_off, default=True, help=held)
    started = "watch the Python processes that the program starts (default: on)"
    add("--children", action=on_off, default=True, help=started)
    add("--html", type=Path, metavar="FILE", help="write the report as one page")
    add("--json", type=Path, metavar="FILE", help="write the report as JSON")
    tasks = "record what each task does, and write it for https://ui.perfetto.dev; it costs a few "
    tasks += "microseconds per task step"
    add("--timeline", type=Path, metavar="FILE", help=tasks)
    silent = "no live view, for a program that draws its own screen"
    add("--quiet", action="store_true", help=silent)
    found = "scan this code base as well, and say which of its findings stalled the program"
    add("--scan", type=Path, metavar="SRC", help=found)
    add("target", metavar="TARGET", help="a file, or a module with -m")
    add("arguments", nargs=argparse.REMAINDER, metavar="...", help="arguments passed to TARGET")


def run(args: argparse.Namespace) -> int:
    """Run the program and return its exit status; 2 if it can't be run."""
    target = Target(args.target, tuple(args.arguments), module=args.module)
    missing = args.scan and not args.scan.exists() and f"{args.scan}: no such file or folder."
    reports = (args.html, args.json, args.timeline)
    for complaint in filter(None, (target.complaint, missing, *map(unwritable, reports))):
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
            review = review.scanned(scan(args.scan))
        except (ValueError, OSError) as error:  # the program's own status stays what it is
            _say(f"  scan of {args.scan}: {error}")
    _say(str(review))
    forms = (review.to_html, review.to_json, lambda: json.dumps(recording.timeline()))
    write_all(*zip(reports, forms, strict=True))
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
