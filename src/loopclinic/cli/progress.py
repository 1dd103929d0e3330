"""`loopclinic progress show|export|summarize`: what has passed so far, alone or in a room."""

import argparse
import json
import sys
from pathlib import Path

from loopclinic.checks import course, hand_in, progress
from loopclinic.cli.writing import write
from loopclinic.lessons import lessons

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("--json", action="store_true", help="the same as export")
    parser.set_defaults(action="show")
    actions = parser.add_subparsers(metavar="ACTION", dest="action")
    actions.add_parser("show", help="what you have passed (what happens without a word)")
    export = actions.add_parser(
        "export",
        help="your results as a file to hand in",
        description="Write your own results as JSON: counts, moments and names of conflicts. "
        "No code and no path is in it, no name unless you type one, and nothing is sent anywhere.",
    )
    export.add_argument("--name", default="", help="put this name into the file (none)")
    export.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help="where to write (standard output)"
    )
    summarize = actions.add_parser(
        "summarize",
        help="the files of a whole room, side by side",
        description="Who is where, which lesson holds people up, which conflicts checks found.",
    )
    summarize.add_argument("folder", type=Path, metavar="FOLDER", help="where the files are")
    summarize.add_argument("--html", type=Path, metavar="FILE", help="also write it as a page")


def run(args: argparse.Namespace) -> int:
    """Print the progress, or write it as JSON, or sum up a room's."""
    if args.action == "summarize":
        return _summarize(args.folder, args.html)
    kept = progress.read()
    if kept.complaint:
        print(kept.complaint, file=sys.stderr)
    if args.action == "export" or args.json:
        return _export(getattr(args, "name", ""), getattr(args, "output", None))
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


def _export(name: str, output: Path | None) -> int:
    text = json.dumps(hand_in.make(name), indent=1, ensure_ascii=False)
    if output is None:
        print(text)
        return 0
    return 0 if write(output, text + "\n") else 2


def _summarize(folder: Path, html: Path | None) -> int:
    """Return 0 if somebody's results could be read, 1 if nobody's, 2 for a folder that can't be."""
    from rich.console import Console  # noqa: PLC0415 - show and export need none of it

    from loopclinic.checks.room import gather  # noqa: PLC0415
    from loopclinic.cli.room_view import room_page, room_tables  # noqa: PLC0415

    try:
        room = gather(folder, but=html)
    except OSError as error:
        print(f"loopclinic: {folder} can't be read ({error.strerror}).", file=sys.stderr)
        return 2
    if not room.learners:
        for remark in room.remarks:
            print(f"Note: {remark}", file=sys.stderr)
        print(
            f"loopclinic: {folder} holds no results: collect what loopclinic progress export "
            "--output FILE wrote.",
            file=sys.stderr,
        )
        return 1
    Console().print(room_tables(room))
    return 0 if html is None or write(html, room_page(room)) else 2
