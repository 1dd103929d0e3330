"""What a run saw of a scan's findings: the stalls that stood at the line of each."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from loopclinic.scanner.finding import Finding
from loopclinic.scanner.scan_report import Report
from loopclinic.units import count


class SeenError(ValueError):
    """The file is no report of `loopclinic run`; the message says so."""


def stalls_of(path: Path) -> list[dict[str, Any]]:
    """Return the stalls in a file that `loopclinic run --json` wrote.

    Raises:
        SeenError: it is something else.
        OSError: it can't be read.
    """
    try:
        loops = json.loads(path.read_text("utf-8"))["loops"]
        return [stall for loop in loops for stall in loop["stalls"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SeenError(f"{path} is no report of a run: write it with run --json.") from error


def with_seen(report: Report, stalls: Iterable[Mapping[str, Any]]) -> Report:
    """Return a report that says how often each finding stalled the run, the costliest first."""
    places = _places(report)
    times: Counter[int] = Counter()
    seconds: dict[int, float] = {}
    unexplained = 0
    for stall in stalls:
        found = _explained(stall, places)
        unexplained += not found
        for position, took in found.items():
            times[position] += 1
            seconds[position] = seconds.get(position, 0.0) + took
    told = (
        one.with_seen(times[position], seconds.get(position, 0.0))
        for position, one in enumerate(report.findings)
    )
    counts = {**report.counts, "stalls_unexplained": unexplained}
    return replace(report, findings=tuple(sorted(told, key=lambda one: one.order)), counts=counts)


def sentences(report: Report) -> Iterator[str]:
    """Yield what a run saw of a scan, a line each: the findings that stalled it, then how many did not."""
    hurt = [one for one in report.findings if one.seen > 0]
    for one in hurt:
        file, line, call = one.leaf
        to = f" leads to {call} at {file}:{line}" if one.through_calls else ""
        yield f"{one.file}:{one.line} {one.kind}, {one.about}: {one.source}{to}"
    quiet = count(len(report.findings) - len(hurt), "more finding")
    yield f"{quiet} of the scan, at which this run did not stall."
    left = report.counts["stalls_unexplained"]
    if left:
        yield f"{count(left, 'stall')} at no line of a finding."


_Places = dict[tuple[str, int], list[tuple[int, Finding]]]


def _places(report: Report) -> _Places:
    root = Path(report.root)
    folder = root if root.is_dir() else root.parent
    found: _Places = {}
    for position, one in enumerate(report.findings):
        found.setdefault((str(folder / one.file), one.line), []).append((position, one))
    return found


def _explained(stall: Mapping[str, Any], places: _Places) -> dict[int, float]:
    """Return the findings that explain a stall, with the seconds that it stood at each.

    Those at a line that took some of it; and those in whose call the named line ran, of its kind
    where one is.
    """
    named = stall["file"], stall["line"]
    shares = {(one["file"], one["line"]): float(one["seconds"]) for one in stall.get("lines") or ()}
    shares.setdefault(named, float(stall["seconds"]))
    around = {(frame["file"], frame["line"]) for frame in stall.get("stack") or ()}
    inside = [one for line in around | {named} for one in places.get(line, ())]
    alike = [one for one in inside if one[1].kind == stall["conflict"]] or inside
    found = {position: shares[named] for position, _ in alike}
    for line, seconds in shares.items():
        if line != named:
            found.update({position: seconds for position, _ in places.get(line, ())})
    return found
