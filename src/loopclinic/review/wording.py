"""Figures and places of a review in words, the same in the text and on the page."""

import sysconfig
from pathlib import Path

from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons import treatments
from loopclinic.review.recording import Loop, Place
from loopclinic.units import duration

__all__ = ["diagnosis", "figures", "lesson_of", "shown", "where"]

_LIBRARY = tuple(
    Path(path) for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name))
)


def figures(loop: Loop) -> str:
    """Return a loop's utilization and lag in one line."""
    if loop.unwatched is not None:
        return f"not watched: {loop.unwatched}"
    if not loop.report:
        return "it was cut off before it could report"
    lag = ", ".join(f"{name} {duration(x)}" for name, x in loop.report["lag"].items())
    busy = loop.report["utilization"]
    share = "unknown" if busy is None else f"{busy:.1%}"
    return f"utilization {share}, lag {lag}"


def lesson_of(conflict: str | None) -> tuple[str, str] | None:
    """Return number and title of the lesson that treats a conflict, or None."""
    if conflict is None or conflict not in (known := treatments()):
        return None
    name, title = known[conflict]
    return name[:2], title


def shown(file: str) -> str:
    """Return a path as a person would write it: from the working folder, a package, or home."""
    path = Path(file)
    for mark in ("site-packages", "dist-packages"):
        if mark in path.parts:
            return "/".join(path.parts[path.parts.index(mark) + 1 :])
    bases = [(Path.cwd(), ""), *((folder, "") for folder in _LIBRARY), (Path.home(), "~/")]
    for base, prefix in bases:
        if path.is_relative_to(base):
            return prefix + path.relative_to(base).as_posix()
    return file


def where(place: Place) -> str:
    """Return a place as `folder/app.py:12`, or what stalled where no line is to blame."""
    worst = place.worst
    if worst.get("burst"):
        return "bursts of callbacks"
    if worst["file"] is None or worst["cell"] is not None:
        return str(worst["where"])
    return f"{shown(worst['file'])}:{worst['line']}"


def diagnosis(place: Place) -> str:
    """Return the worst stall of a place in one sentence, or nothing where it looks like nothing known."""
    sentence = place.worst.get("diagnosis")
    if sentence:
        return str(sentence)
    conflict = place.conflict
    return CONFLICTS[conflict].sentence if conflict in CONFLICTS else ""
