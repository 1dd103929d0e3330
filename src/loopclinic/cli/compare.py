"""`loopclinic compare A.py:handler B.py:handler`: two designs under the same load, as one page."""

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from loopclinic.cli.arguments import number_above, refuse, unwritable, write_all
from loopclinic.design.review import DesignReview, compare
from loopclinic.import_path import LoadError
from loopclinic.load.request_schedule import Load
from loopclinic.runner.wording import where
from loopclinic.servers import ServerError
from loopclinic.units import duration

_PLACES = 3  # lines of each variant that are told; the page has more

_EPILOG = """\
A variant is FILE.py:name or package.module:name of an async function (request), of an ASGI, WSGI or
aiohttp application, or of a function that makes one. FILE.py alone means the handler, app, application
or make_app in it. A variant can also be a command that contains {port}:
'python -m uvicorn shop:app --port {port}'.

Its code runs as an ordinary process, with all your rights. --no-scan leaves out the scanner,
which reads files and never runs them. The page quotes the variants' code and the command line.

Exit status: 0 compared, 1 a variant could not be measured, 2 wrong arguments, or a machine that can't compare.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("variants", nargs="+", metavar="VARIANT", help="what to compare; the first is the baseline")
    rate, load = "requests per second (default: 50)", "seconds of load per round (default: 5)"
    add("--rate", type=_positive, default=50.0, metavar="N", help=rate)
    add("--seconds", type=_positive, default=5.0, metavar="S", help=load)
    more = "rounds; three or more tell a difference from noise (default: 5)"
    add("--rounds", type=_count, default=5, metavar="N", help=more)
    add("--jobs", type=_count, metavar="N", help="instead of a rate: N requests at once")
    warm = "seconds of warm-up load (default: 0.5)"
    add("--warmup", type=_seconds, default=0.5, metavar="S", help=warm)
    late = "seconds after which a request counts as failed (default: 30)"
    add("--timeout", type=_positive, default=30.0, metavar="S", help=late)
    add("--arrivals", choices=("poisson", "uniform"), default="poisson")
    seed = "seed of the random arrivals (default: 0)"
    add("--seed", type=int, default=0, metavar="N", help=seed)
    add("--path", default="/", metavar="/PATH", help="path that is requested (default: /)")
    add("--method", choices=("GET", "POST"), help="POST where there are payloads, else GET")
    several = "a JSON list, or one JSON value per line; they are sent in turn"
    add("--payloads", type=Path, metavar="FILE", help=several)
    add("--bound", type=_positive, metavar="S", help="the best possible latency, for the plots")
    add("--no-scan", dest="scan", action="store_false", help="do not run the scanner")
    add("--html", type=Path, metavar="FILE", help="write the review as one page")
    add("--markdown", type=Path, metavar="FILE", help="write it for a pull request")
    add("--json", type=Path, metavar="FILE", help="write it as JSON, samples included")


def run(args: argparse.Namespace) -> int:
    """Compare, print and write; 0 done, 1 a variant's fault, 2 the arguments' or the machine's."""
    sys.path.insert(0, str(Path.cwd()))  # package.module:name, as `python -m` finds it
    files = (args.html, args.markdown, args.json)
    for complaint in filter(None, map(unwritable, files)):
        return refuse(complaint)
    try:
        load = _load(args)
    except ValueError as error:
        return refuse(error)
    options = {name: getattr(args, name) for name in ("rounds", "warmup", "bound", "scan")}
    try:
        review = compare(*args.variants, load=load, **options)
    except LoadError as error:
        if error.detail.strip():
            print(error.detail.rstrip(), file=sys.stderr)
        return refuse(error, 1)
    except ServerError as error:
        return refuse(f"{error} Try again; `loopclinic doctor` shows what is wrong.")
    _print(review)
    forms = (review.to_html, review.to_markdown, review.to_json)
    return 0 if write_all(*zip(files, forms, strict=True)) else 2


def _print(review: DesignReview) -> None:
    from rich.console import Console  # only when there is something to print

    console = Console(highlight=False, soft_wrap=True)
    console.print(review.headline, style="bold", markup=False)
    console.print()
    console.print(review.table())
    for note in review.warnings:
        console.print(f"note: {note}", markup=False)
    for name in review.variants:
        for place in review.places(name)[:_PLACES]:
            worst = f"{len(place.stalls)} x, worst {duration(place.worst['seconds'])}"
            said = f"{name}: {where(place)}  {place.code}".rstrip()
            console.print(f"{said}  ({worst})", markup=False)


def _load(args: argparse.Namespace) -> Load:
    payloads = _payloads(args.payloads) if args.payloads is not None else None
    names = ("rate", "seconds", "arrivals", "seed", "timeout", "jobs", "path")
    given = {name: getattr(args, name) for name in names}
    given["method"] = args.method or ("GET" if payloads is None else "POST")
    return Load(**given, payloads=payloads)


def _payloads(file: Path) -> list[Any]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} can't be read: {error}.") from None
    with suppress(ValueError):
        whole = json.loads(text)
        return whole if isinstance(whole, list) else [whole]
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: not valid JSON: {error}.") from None
    return found


def _positive(text: str) -> float:
    return number_above(text, 0.0, "a number above zero")


def _seconds(text: str) -> float:
    return number_above(text, -1e-9, "a number of seconds")


def _count(text: str) -> int:
    found = number_above(text, 0.5, "a number of at least 1")
    if found != int(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(found)
