"""`loopclinic progress show|export`: what has passed so far."""

import argparse
import json
import sys
from pathlib import Path

from loopclinic.checks import course, progress
from loopclinic.lessons import lessons

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "action", nargs="?", choices=("show", "export"), default="show", help="default: show"
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="FILE",
        help="where export writes (default: standard output)",
    )
    parser.add_argument("--json", action="store_true", help="the same as export")


def run(args: argparse.Namespace) -> int:
    """Print the progress, or write it as JSON."""
    kept = progress.read()
    if kept.complaint:
        print(kept.complaint, file=sys.stderr)
    if args.action == "export" or args.json:
        return _export(kept, args.output)
    labs = [one for one in lessons() if one.shipped is not None]
    passed = [one for one in labs if course.state_of(one, kept) == "passed"]
    left = sum(one.minutes for one in labs if one not in passed)
    print(f"{len(passed)} of {len(labs)} labs passed; about {left} minutes are left.")
    for one in labs:
        mine = kept.of(one.name)
        facts = [f"{mine.attempts} checks", f"{mine.hints} hints"]
        if mine.passed_at:
            facts.append(f"passed {mine.passed_at[:10]}")
        elif mine.last_conflicts:
            facts.append(f"last time: {', '.join(mine.last_conflicts)}")
        print(f"  {one.number} {one.title}: {', '.join(facts)}")
    return 0


def _export(kept: progress.Progress, output: Path | None) -> int:
    text = json.dumps(kept.to_dict(), indent=1, ensure_ascii=False)
    if output is None:
        print(text)
        return 0
    try:
        output.write_text(text + "\n", "utf-8")
    except OSError as error:
        print(f"loopclinic: {output} can't be written ({error.strerror}).", file=sys.stderr)
        return 2
    print(f"Written to {output}.")
    return 0
