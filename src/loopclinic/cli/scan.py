"""`loopclinic scan PATH`: lists conflicts in a code base without running it."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from loopclinic.blocking_calls import CatalogueError
from loopclinic.cli.arguments import refuse, words
from loopclinic.conflicts import WEIGHTS
from loopclinic.paths import KitNotFoundError, kit_root
from loopclinic.scanner.baseline import Baseline, BaselineError
from loopclinic.scanner.branch import BranchError, added
from loopclinic.scanner.cache import folder
from loopclinic.scanner.finding import CONFIDENCES
from loopclinic.scanner.options import Settings, SettingsError, settings_for
from loopclinic.scanner.reports.findings_page import page
from loopclinic.scanner.reports.migration_plan import plan
from loopclinic.scanner.reports.sarif import sarif
from loopclinic.scanner.reports.text import show
from loopclinic.scanner.scan_report import Report, plain
from loopclinic.scanner.scanning import Progress, scan_path
from loopclinic.scanner.seen import SeenError, stalls_of, with_seen
from loopclinic.scanner.source_files import existing
from loopclinic.scanner.suggested_edits import apply, suggestions
from loopclinic.units import count

_STEP = 50
_EPILOG = (
    "A comment `# loopclinic: ignore[KIND] reason` silences a line; on a blocking call it also "
    "silences the findings in its callers. Put permanent options into pyproject.toml, under "
    "[tool.loopclinic.scan]. Nothing of the scanned code is imported or run."
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("paths", nargs="+", type=_path, metavar="PATH", help="a folder or a file")
    add("--format", choices=("text", "json", "sarif", "html"), default="text")
    add("--output", type=Path, metavar="FILE", help="write there instead of the terminal")
    add("--plan", action="store_true", help="a migration plan in Markdown instead")
    fail = "exit 1 if one of these (or `any`) is found, 3 if a file could not be read; "
    fail += "hints count with --min-confidence hint only"
    add("--fail-on", type=words, metavar="KIND,…", help=fail)
    sure = "lowest confidence to report (default: likely; hint for JSON, the page and the plan)"
    add("--min-confidence", choices=CONFIDENCES, help=sure)
    weight = (
        "lowest weight to report: calls that look at metadata, or at one file, are light, as is what "
        "runs in tests, scripts and command-line tools, at start and stop (default: medium; light "
        "for JSON, the page and the plan)"
    )
    add("--min-weight", choices=WEIGHTS, help=weight)
    add("--ignore", type=words, metavar="KIND,…", help="leave these out")
    add("--exclude", type=words, metavar="PATTERN,…", help="files and folders not to read")
    add("--baseline", metavar="FILE", help="report only what is not in it")
    add("--write-baseline", type=Path, metavar="FILE", help="write all findings to it, as known")
    add("--diff", metavar="BASE", help="report only what the branch adds to this Git revision")
    seen = "say what a `run --json FILE` saw of each finding"
    add("--seen", type=Path, metavar="FILE", help=seen)
    add("--fix", action="store_true", help="make the edits that are safe: `await asyncio.sleep()`")
    add("--no-cache", action="store_true", help="do not read or write the cache")
    add("--jobs", type=int, metavar="N", help="number of processes")


def _path(text: str) -> Path:
    if not text:  # an unset variable of the shell, rather than the working directory
        raise argparse.ArgumentTypeError("a PATH is empty: name a folder or a file")
    return Path(text)


def run(args: argparse.Namespace) -> int:
    """Print the report; 0 nothing that fails, 1 a finding of --fail-on, 2 nothing could be read, 3 not all of it.

    Without --fail-on, what could not be read is only told.
    """
    status = 0
    alone = args.output or args.write_baseline or args.plan or args.format != "text"
    if len(args.paths) > 1 and alone:
        return refuse("several PATHs can only be printed as text: give one PATH for anything else.")
    for path in args.paths:
        try:
            status = max(status, _one(path, args))
        except FileNotFoundError as error:
            status = refuse(f"{error.filename}: no such file or folder.")
        except BrokenPipeError:
            raise  # whoever reads has gone: no fault of the path
        except OSError as error:
            status = refuse(f"{error.filename}: {error.strerror}.")
        except (SettingsError, BaselineError, CatalogueError, BranchError, SeenError) as error:
            return refuse(error)
    return status


def _one(path: Path, args: argparse.Namespace) -> int:
    settings = settings_for(
        existing(path),
        fail_on=args.fail_on,
        min_confidence=args.min_confidence,
        min_weight=args.min_weight,
        ignore=args.ignore,
        exclude=args.exclude,
        baseline="" if args.write_baseline else args.baseline,
    )
    settings = _by_default(settings, args)
    cache = None if args.no_cache else folder()
    report = scan_path(path, settings, cache=cache, jobs=args.jobs, progress=_progress())
    if args.diff:
        report = added(report, args.diff, settings, jobs=args.jobs)
    if args.seen:
        report = with_seen(report, stalls_of(args.seen))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if args.fix:
        return _fix(report)
    if args.write_baseline:
        known = Baseline.write(args.write_baseline, report.findings)
        print(f"Wrote {count(known, 'finding')} to the baseline {args.write_baseline}.")
        return 0
    _print(report, args)
    for one in report.unneeded:
        print(f"No longer needed in pyproject.toml: {one}.", file=sys.stderr)
    if report.nothing_read:
        if not report.counts["files"]:
            refuse(f"{path} contains no Python files.")
        return 2
    if _failing(report, settings, args):
        return 1
    return 3 if settings.fail_on and report.unread else 0


def _by_default(settings: Settings, args: argparse.Namespace) -> Settings:
    """Return the settings with what a format shows where nobody said: less where people read it all."""
    if args.write_baseline or args.plan or args.format in ("json", "html"):
        return settings
    return replace(
        settings,
        min_confidence=settings.min_confidence or "likely",
        min_weight=settings.min_weight or "medium",
    )


def _fix(report: Report) -> int:
    done = apply(report, report.findings)
    for place in done:
        print(f"{place}: await asyncio.sleep()")
    left = len(report.findings) - len(done)
    print(f"{count(len(done), 'line')} changed; {count(left, 'finding')} left to you.")
    return 0


def _failing(report: Report, settings: Settings, args: argparse.Namespace) -> bool:
    """Return whether a finding fails the gate: one of little weight, or a hint, only where asked for."""
    hints, light = args.min_confidence == "hint", args.min_weight == "light"
    return any(
        ("any" in settings.fail_on or one.kind in settings.fail_on)
        and (one.confidence != "hint" or hints)
        and (one.weight != "light" or light)
        for one in report.findings
    )


def _print(report: Report, args: argparse.Namespace) -> None:
    if args.plan:
        text = plan(report)
    elif args.format == "json":
        text = json.dumps(report.as_dict(), indent=2)
    elif args.format == "sarif":
        text = json.dumps(sarif(report), indent=2)
    elif args.format == "html":
        text = page(report, _notebooks())
    elif args.output is None:
        show(report, suggestions(report))
        return
    else:
        text = plain(report, suggestions(report))
    if args.output is None:
        print(text)
    else:
        args.output.write_text(text + "\n", "utf-8", errors="backslashreplace")


def _notebooks() -> dict[str, str]:
    """Return the address of each lesson as it was executed for the gallery, else of its notebook."""
    try:
        root = kit_root()
    except KitNotFoundError:
        return {}
    executed = {file.stem: file.as_uri() for file in root.glob("build/gallery/[0-9]*.html")}
    return {file.stem: file.as_uri() for file in root.glob("notebooks/*.ipynb")} | executed


def _progress() -> Progress | None:
    """Return what counts the files read, on a line of stderr that is wiped; None without a terminal."""
    if not sys.stderr.isatty():
        return None

    def told(done: int, total: int) -> None:
        if done % _STEP == 0 or done == total:
            bar = ("#" * (30 * done // max(1, total))).ljust(30, ".")
            print(f"\r[{bar}] {done:,} of {total:,} files", end="", file=sys.stderr, flush=True)

    return told
