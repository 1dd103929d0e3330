"""JSON content of the widget beside a lab: contract, verdict, bars, history of saves, next lesson."""

import os
import re
from collections.abc import Mapping
from importlib import import_module
from math import log
from pathlib import Path
from typing import Any

from loopclinic.checks import lab_files, progress
from loopclinic.checks.lab_files import python_files
from loopclinic.lessons import Lesson, lessons
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.verdicts import STILL_RUNNING
from loopclinic.paths import kit_root
from loopclinic.verdict import SIGNS, WORDS, Reason, Verdict

_OPEN = (STILL_RUNNING, "more than ", "over ")
"""How a measurement begins whose end was not seen."""
_QUANTITY = re.compile(rf"(?:{'|'.join(('at least ', *_OPEN))})?(\d[\d,]*(?:\.\d+)?) ?(%|[a-z]+)?")
_SECONDS = {"ms": 0.001, "s": 1.0}
_STEM = 4
"""Letters by which `company` and `companies` are one unit."""


def lab_of(one: Lesson) -> dict[str, Any]:
    """Return the lab's number, name, the paths that a notebook opens, and what its promises say after a first sentence."""
    path = lab_files.lab_path(one)
    assert one.shipped is not None
    assert one.contract is not None
    file = path / one.contract.relative_to(one.shipped) if one.shipped.is_dir() else path
    return {
        "number": one.number,
        "shown": shown(path),
        "path": from_here(file),
        "more": {no: rest[0] for no, (_, *rest) in one.clauses.items() if rest},
        "files": [
            {"shown": file.relative_to(path).as_posix(), "path": from_here(file)}
            for file in (python_files(path) if path.is_dir() else ())
        ],
    }


def contract_of(one: Lesson, state: str = "open") -> list[dict[str, Any]]:
    """Return the contract as shown before the first verdict."""
    return [{"number": no, "state": state, "text": text} for no, text in one.promises.items()]


def next_of(one: Lesson) -> dict[str, str] | None:
    """Return title and notebook of the lesson that follows; None after the last."""
    following = [other for other in lessons() if other.number > one.number]
    if not following:
        return None
    path = kit_root() / "notebooks" / f"{following[0].name}.ipynb"
    title = f"{following[0].number} {following[0].title}"
    return {"title": title, "path": from_here(path)}


def saves_of(one: Lesson) -> list[dict[str, Any]]:
    """Return what the checks of this lab found so far, the oldest first."""
    try:
        kept = progress.read().lessons.get(one.name)
    except progress.ProgressError:  # each check tells the learner
        return []
    return [
        {"kept": kept, "promises": many, "passed": status == "passed"}
        for kept, many, status in (kept.saves if kept else ())
    ]


def verdict_page(verdict: Verdict, one: Lesson) -> dict[str, Any]:
    """Return a verdict as shown: its words, reasons with places and bars, and what differs."""
    return {
        "status": verdict.status,
        "word": WORDS[verdict.status],
        "headline": verdict.headline.removesuffix(" Next: loopclinic next."),
        "about": f"{verdict.seconds:.1f} s, seed {verdict.seed}",
        "tally": verdict.tally,
        "reasons": [_reason(reason) for reason in verdict.reasons],
        "signs": {"title": SIGNS, "reasons": [_reason(sign) for sign in verdict.signs]},
        "difference": difference(verdict.vitals, one) if verdict.passed else None,
    }


def _reason(reason: Reason) -> dict[str, Any]:
    sentence, _, code = reason.sentence.partition("\n")
    file = Path(reason.file) if reason.file else None
    return {
        "conflict": reason.conflict,
        "promise": reason.promise,
        "sentence": sentence,
        "code": code,
        "file": shown(file) if file else None,
        "path": from_here(file) if file else None,
        "line": reason.line,
        "next": reason.next_step,
        "bars": _against_budget(reason),
    }


def _against_budget(reason: Reason) -> dict[str, Any] | None:
    """Return measurement and budget as shown, as numbers, too, where both have the same unit.

    `open` is whether the measurement ended before what it measured.
    """
    if reason.measured is None:
        return None
    open_ended = reason.measured.startswith(_OPEN)
    words = {"measured": reason.measured, "budget": reason.budget, "open": open_ended}
    values = _quantity(reason.measured), _quantity(reason.budget or "")
    if values[0] is None or values[1] is None or values[0][1] != values[1][1]:
        return {**words, "values": None}
    return {**words, "values": [values[0][0], values[1][0]]}


def _quantity(text: str) -> tuple[float, str] | None:
    """Return the number that a text begins with, times in seconds, and what its unit is known by."""
    found = _QUANTITY.match(text)
    if found is None or found[2] in ("and", None):
        return None
    value, unit = float(found[1].replace(",", "")), found[2]
    return (value * _SECONDS[unit], "s") if unit in _SECONDS else (value, unit[:_STEM])


def difference(vitals: Mapping[str, Any], one: Lesson) -> dict[str, Any] | None:
    """Return the figure that is furthest from the reference's, with both; None where none differs."""
    found = []
    for figure in (it for it in figures_of(one) if it.vital in vitals):
        value = figure_of(vitals, figure)
        far = abs(log(max(value, 1e-9) / figure.reference)) / log(figure.apart)
        if far > 1:
            words = [f"{it:.2f} {figure.unit}" for it in (value, figure.reference)]
            shown = {"what": figure.what, "values": [value, figure.reference], "words": words}
            found.append((far, shown))
    return max(found, key=lambda pair: pair[0], default=(0.0, None))[1]


def figures_of(one: Lesson) -> tuple[Figure, ...]:
    """Return the figures by which right answers to a lab differ: `FIGURES` in the lesson's `check`."""
    return getattr(import_module(f"{one.package}.check"), "FIGURES", ())


def figure_of(vitals: Mapping[str, Any], figure: Figure) -> float:
    """Return a figure of a trial that passed."""
    return float(vitals[figure.vital] / (vitals[figure.per] if figure.per else 1))


def shown(path: Path) -> str:
    """Return a path as the learner knows it: from the kit's folder, or whole."""
    root = kit_root()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def from_here(path: Path) -> str:
    """Return a path from the kernel's folder, which is that of its notebook."""
    return Path(os.path.relpath(path)).as_posix()
