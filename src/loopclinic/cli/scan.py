"""`loopclinic scan`: conflicts in a code base, without running it."""

import argparse
import json
import sys
from pathlib import Path

from loopclinic.scanner.baseline import Baseline, BaselineError
from loopclinic.scanner.cache import folder
from loopclinic.scanner.catalogue import CatalogueError
from loopclinic.scanner.files import existing
from loopclinic.scanner.findings import CONFIDENCES
from loopclinic.scanner.report import Report
from loopclinic.scanner.reports.page import page
from loopclinic.scanner.reports.plan import plan
from loopclinic.scanner.reports.sarif import sarif
from loopclinic.scanner.reports.text import plain, show
from loopclinic.scanner.scanning import Progress, scan_path
from loopclinic.scanner.settings import Settings, SettingsError, settings_for

__all__ = ["configure", "run"]

_STEP = 50
_EPILOG = (
    "A comment `# loopclinic: ignore[KIND] reason` silences a line; where something blocks, it "
    "silences all who call it. Options for good stand in pyproject.toml, below "
    "[tool.loopclinic.scan]. Nothing of the scanned code is imported or run."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("paths", nargs="+", type=_path, metavar="PATH", help="a folder or a file")
    add("--format", choices=("text", "json", "sarif", "html"), default="text")
    add("--output", type=Path, metavar="FILE", help="write there instead of the terminal")
    add("--plan", action="store_true", help="a migration plan in Markdown instead")
    add(
        "--fail-on",
        type=_words,
        metavar="KIND,…",
        help="exit 1 where one of these is found, or any; hints only with --min-confidence hint",
    )
    add("--min-confidence", choices=CONFIDENCES, help="report these and surer ones")
    add("--ignore", type=_words, metavar="KIND,…", help="leave these out")
    add("--exclude", type=_words, metavar="PATTERN,…", help="files and folders not to read")
    add("--baseline", metavar="FILE", help="report only what is not in it")
    add("--write-baseline", type=Path, metavar="FILE", help="remember all findings as known")
    add("--no-cache", action="store_true", help="remember nothing, recall nothing")
    add("--jobs", type=int, metavar="N", help="processes to read with")


def _path(text: str) -> Path:
    if not text:  # an unset variable of the shell, rather than the working directory
        raise argparse.ArgumentTypeError("a PATH is empty: name a folder or a file")
    return Path(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


def run(args: argparse.Namespace) -> int:
    """Print the report; 0 nothing that fails, 1 a finding of --fail-on, 2 nothing could be read."""
    status = 0
    alone = args.output or args.write_baseline or args.plan or args.format != "text"
    if len(args.paths) > 1 and alone:
        print("loopclinic: several PATHs only print as text; give one.", file=sys.stderr)
        return 2
    for path in args.paths:
        try:
            status = max(status, _one(path, args))
        except FileNotFoundError as error:
            status = 2
            print(f"loopclinic: {error.filename}: no such file or folder.", file=sys.stderr)
        except BrokenPipeError:
            raise  # whoever reads has gone: no fault of the path
        except OSError as error:
            status = 2
            print(f"loopclinic: {error.filename}: {error.strerror}.", file=sys.stderr)
        except (SettingsError, BaselineError, CatalogueError) as error:
            print(f"loopclinic: {error}", file=sys.stderr)
            return 2
    return status


def _one(path: Path, args: argparse.Namespace) -> int:
    settings = settings_for(
        existing(path),
        fail_on=args.fail_on,
        min_confidence=args.min_confidence,
        ignore=args.ignore,
        exclude=args.exclude,
        baseline="" if args.write_baseline else args.baseline,
    )
    cache = None if args.no_cache else folder()
    report = scan_path(path, settings, cache=cache, jobs=args.jobs, progress=_progress())
    _wipe()
    if args.write_baseline:
        known = Baseline.write(args.write_baseline, report.findings)
        print(f"{args.write_baseline}: {known} findings are known now.")
        return 0
    _print(report, args)
    if report.nothing_read:
        if not report.counts["files"]:
            print(f"loopclinic: {path} holds no Python file.", file=sys.stderr)
        return 2
    return 1 if _failing(report, settings, args) else 0


def _failing(report: Report, settings: Settings, args: argparse.Namespace) -> bool:
    """Whether a finding fails the gate: a hint does only where hints were asked for by name."""
    hints = args.min_confidence == "hint"
    return any(
        ("any" in settings.fail_on or one.kind in settings.fail_on)
        and (one.confidence != "hint" or hints)
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
        text = page(report)
    elif args.output is None:
        show(report)
        return
    else:
        text = plain(report)
    if args.output is None:
        print(text)
    else:
        args.output.write_text(text + "\n", "utf-8", errors="backslashreplace")


def _progress() -> Progress | None:
    """Return what counts the files read, on a line of stderr that is wiped; None without a terminal."""
    if not sys.stderr.isatty():
        return None

    def told(done: int, total: int) -> None:
        if done % _STEP == 0 or done == total:
            width = 30
            filled = width * done // max(1, total)
            bar = "#" * filled + "." * (width - filled)
            print(f"\r[{bar}] {done:,} of {total:,} files", end="", file=sys.stderr, flush=True)

    return told


def _wipe() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
