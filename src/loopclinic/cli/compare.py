"""`loopclinic compare A.py:handler B.py:handler`: two designs under the same load, as one page."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopclinic.cli.writing import unwritable, write
from loopclinic.load import Load, LoadError
from loopclinic.review.design import DesignReview, compare
from loopclinic.review.wording import where
from loopclinic.servers import ServerError
from loopclinic.units import duration

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["configure", "run"]

_PLACES = 3  # lines of each variant that are told; the page has more

_EPILOG = """\
A variant is FILE.py:name or package.module:name of an async function (request), of an ASGI, WSGI or
aiohttp application, or of a function that makes one; FILE.py alone means its handler, app, application
or make_app; or a command with {port} in it: 'python -m uvicorn shop:app --port {port}'.

Its code runs as an ordinary process of yours, with all your rights. --no-scan leaves out the scanner,
which reads files and never runs them. The page quotes the variants' code and the command line.

exit status: 0 compared, 1 a variant could not be measured, 2 the arguments or the machine
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("variants", nargs="+", metavar="VARIANT", help="the first is what the others are held to")
    add("--rate", type=_positive, default=50.0, metavar="N", help="requests a second (50)")
    add("--seconds", type=_positive, default=3.0, metavar="S", help="of load a round (3)")
    add("--rounds", type=_count, default=5, metavar="N", help="three or more tell a difference (5)")
    add("--jobs", type=_count, metavar="N", help="a batch of so many requests at once instead")
    add("--warmup", type=_seconds, default=0.5, metavar="S", help="before the first round (0.5)")
    add("--timeout", type=_positive, default=30.0, metavar="S", help="a request's patience (30)")
    add("--arrivals", choices=("poisson", "uniform"), default="poisson")
    add("--seed", type=int, default=0, metavar="N", help="of the arrivals (0)")
    add("--path", default="/", metavar="/PATH", help="where requests go (/)")
    add("--method", choices=("GET", "POST"), help="POST where there are payloads, else GET")
    add(
        "--payloads",
        type=Path,
        metavar="FILE",
        help="a JSON list, or a JSON value a line; sent in turns",
    )
    add("--bound", type=_positive, metavar="S", help="seconds that nothing can beat, for the plots")
    add("--no-scan", dest="scan", action="store_false", help="leave out what the scanner finds")
    add("--html", type=Path, metavar="FILE", help="write the review as one page")
    add("--markdown", type=Path, metavar="FILE", help="write it for a pull request")
    add("--json", type=Path, metavar="FILE", help="write it as JSON, samples included")


def run(args: argparse.Namespace) -> int:
    """Compare, print and write; 0 done, 1 a variant's fault, 2 the arguments' or the machine's."""
    sys.path.insert(0, str(Path.cwd()))  # package.module:name, as `python -m` finds it
    for path in (args.html, args.markdown, args.json):
        if (complaint := unwritable(path)) is not None:
            return _refused(complaint, 2)
    try:
        load = _load(args)
    except ValueError as error:
        return _refused(str(error), 2)
    try:
        review = compare(
            *args.variants,
            load=load,
            rounds=args.rounds,
            warmup=args.warmup,
            bound=args.bound,
            scan=args.scan,
        )
    except LoadError as error:
        _show_detail(error)
        return _refused(str(error), 1)
    except ServerError as error:
        return _refused(f"{error} Try again; `loopclinic doctor` says what is amiss here.", 2)
    _print(review)
    forms: tuple[tuple[Path | None, Callable[[], str]], ...] = (
        (args.html, review.to_html),
        (args.markdown, review.to_markdown),
        (args.json, review.to_json),
    )
    written = [write(path, form()) for path, form in forms if path is not None]
    return 0 if all(written) else 2


def _print(review: DesignReview) -> None:
    from rich.console import Console  # noqa: PLC0415 - only when there is something to print

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
    return Load(
        rate=args.rate,
        seconds=args.seconds,
        arrivals=args.arrivals,
        seed=args.seed,
        timeout=args.timeout,
        payloads=payloads,
        jobs=args.jobs,
        path=args.path,
        method=args.method or ("GET" if payloads is None else "POST"),
    )


def _payloads(file: Path) -> list[Any]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} can't be read: {error}.") from None
    try:
        whole = json.loads(text)
    except ValueError:
        pass
    else:
        return whole if isinstance(whole, list) else [whole]
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{file}, line {number}, is no JSON value: {error}.") from None
    return found


def _show_detail(error: LoadError) -> None:
    if error.detail.strip():
        print(error.detail.rstrip(), file=sys.stderr)


def _refused(sentence: str, status: int) -> int:
    print(f"loopclinic: {sentence}", file=sys.stderr)
    return status


def _number(text: str, least: float, words: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not least < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not {words}")
    return number


def _positive(text: str) -> float:
    return _number(text, 0.0, "a number above zero")


def _seconds(text: str) -> float:
    return _number(text, -1e-9, "a number of seconds")


def _count(text: str) -> int:
    number = _number(text, 0.5, "a number from 1 on")
    if number != int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(number)
