"""`loopclinic progress show|export|summarize`: the learner's progress, a file of it, a class's summary."""

import argparse
import json
import sys
from pathlib import Path

from loopclinic.checks import class_results, progress
from loopclinic.cli.arguments import refuse, write
from loopclinic.lessons import lessons
from loopclinic.units import count


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the same as export")
    parser.set_defaults(action="show")
    actions = parser.add_subparsers(metavar="ACTION", dest="action")
    actions.add_parser("show", help="show what you have passed (the default)")
    about = "Write your results as JSON: counts, times and names of conflicts. It contains "
    about += "no code, no paths, and no name unless you give one. Nothing is sent anywhere."
    hand_in = "write your results as a file to hand in"
    export = actions.add_parser("export", help=hand_in, description=about)
    export.add_argument("--name", default="", help="your name, stored in the file (default: none)")
    where = "where to write (default: standard output)"
    export.add_argument("--output", "-o", type=Path, metavar="FILE", help=where)
    about = "Show how far everybody is, which lesson holds people up, and what checks found."
    group = "summarize the files of a group"
    summarize = actions.add_parser("summarize", help=group, description=about)
    summarize.add_argument("folder", type=Path, metavar="FOLDER", help="where the files are")
    summarize.add_argument("--html", type=Path, metavar="FILE", help="also write it as a page")


def run(args: argparse.Namespace) -> int:
    """Print the progress, write it as JSON, or summarize a class's."""
    if args.action == "summarize":
        return _summarize(args.folder, args.html)
    kept = progress.read()
    if kept.complaint:
        print(kept.complaint, file=sys.stderr)
    if args.action == "export" or args.json:
        return _export(getattr(args, "name", ""), getattr(args, "output", None))
    labs = [one for one in lessons() if one.shipped is not None]
    passed = [one for one in labs if progress.state_of(one, kept) == "passed"]
    left = sum(one.minutes for one in labs if one not in passed)
    print(f"{len(passed)} of {len(labs)} labs passed; about {count(left, 'minute')} left.")
    for one in labs:
        mine = kept.of(one.name)
        facts = [count(mine.attempts, "check"), count(mine.hints, "hint")]
        if mine.passed_at:
            facts.append(f"passed {mine.passed_at[:10]}")
        elif mine.last_conflicts:
            facts.append(f"last time: {', '.join(mine.last_conflicts)}")
        print(f"  {one.number} {one.title}: {', '.join(facts)}")
    return 0


def _export(name: str, output: Path | None) -> int:
    text = json.dumps(class_results.hand_in(name), indent=1, ensure_ascii=False)
    if output is None:
        print(text)
        return 0
    return 0 if write(output, text + "\n") else 2


def _summarize(folder: Path, html: Path | None) -> int:
    """Return 0 if somebody's results could be read, 1 if nobody's, 2 for a folder that can't be."""
    from rich.console import Console  # show and export need none of it

    from loopclinic.cli.class_view import class_page, class_tables

    try:
        room = class_results.gather(folder, but=html)
    except OSError as error:
        return refuse(f"{folder} can't be read ({error.strerror}).")
    if not room.learners:
        for remark in room.remarks:
            print(f"Note: {remark}", file=sys.stderr)
        return refuse(
            f"{folder} contains no results. Collect the files written by: "
            "loopclinic progress export --output FILE",
            1,
        )
    Console().print(class_tables(room))
    return 0 if html is None or write(html, class_page(room)) else 2
