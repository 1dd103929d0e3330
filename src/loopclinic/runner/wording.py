"""Words for figures and places of a program report, shared by its text and its page."""

import sysconfig
from pathlib import Path

from loopclinic.conflicts import CONFLICTS, TREATMENTS
from loopclinic.probe.report import others
from loopclinic.runner.program_record import Loop, Place
from loopclinic.units import duration

_CALLBACKS = 3
_MORE = 1.2  # times the worst lag, from which on a timer's lateness is worth a word
_WAITED = 0.3  # seconds from which on a queue is worth a word: three looks
_QUEUES = {
    "queued": "calls waited for a thread of the default executor (executor-saturation)",
    "pooled": "tasks waited for a connection of a pool",
}
_PEAKS = {"tasks": "tasks", "requests": "requests in work", "queued": "calls waiting for a thread"}

_PATHS = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
_LIBRARY = tuple(Path(path) for path in _PATHS if path)


def figures(loop: Loop) -> str:
    """Return what is known of a loop in one line: utilization, lag, the most of what it had to do."""
    if loop.unwatched is not None:
        return f"not watched: {loop.unwatched}"
    if not loop.report:
        return "it was ended before it could report"
    lag = loop.report["lag"]
    each = ", ".join(f"{name} {duration(x)}" for name, x in lag.items())
    busy = loop.report["utilization"]
    said = [f"utilization {'unknown' if busy is None else f'{busy:.1%}'}, lag {each}"]
    heartbeat = loop.report.get("heartbeat", 0.0)
    if heartbeat > _MORE * lag["max"]:
        said.append(f"in bursts a timer came up to {duration(heartbeat)} late")
    most = [f"{loop.peaks[name]:,} {what}" for name, what in _PEAKS.items() if loop.peaks.get(name)]
    if most:
        said.append(f"at most {', '.join(most)}")
    return "; ".join(said)


def queues(loop: Loop) -> list[str]:
    """Return in which queues callers of a loop waited, a sentence each without its full stop."""
    return [
        f"{_QUEUES[name]} for {duration(one.seconds)} without a break, {one.most:,} at the most"
        for name, one in loop.queues.items()
        if one.seconds >= _WAITED
    ]


def whose(loop: Loop) -> str:
    """Return where a loop runs: its thread, and its process if that is not the program's own."""
    return loop.thread if loop.process is None else f"{loop.thread} of {loop.process}"


def slow(loop: Loop) -> str:
    """Return a loop's slowest callbacks in one line, or nothing where none stalled it."""
    shown = (f"{one.name} {duration(one.longest)}" for one in loop.callbacks[:_CALLBACKS])
    return ", ".join(shown)


def lesson_of(conflict: str | None) -> tuple[str, str] | None:
    """Return number and title of the lesson that treats a conflict, or None."""
    if conflict is None or conflict not in TREATMENTS:
        return None
    name, title = TREATMENTS[conflict]
    return name[:2], title


def shown(file: str) -> str:
    """Return a path as a person would write it: from here, the project, a package, or home."""
    path = Path(file)
    for mark in ("site-packages", "dist-packages"):
        if mark in path.parts:
            return "/".join(path.parts[path.parts.index(mark) + 1 :])
    here, marks = Path.cwd(), ("pyproject.toml", ".git", "setup.py")
    project = [one for one in here.parents if any((one / mark).exists() for mark in marks)][:1]
    for base in (here, *project, *_LIBRARY):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    if path.is_relative_to(Path.home()):
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    return file


def where(place: Place) -> str:
    """Return a place as `folder/app.py:12`, or what stalled where no line is to blame."""
    worst = place.worst
    if worst.get("burst"):
        return "bursts of callbacks"
    if worst["file"] is None or worst["cell"] is not None:
        return str(worst["where"])
    return line_of(worst["file"], worst["line"], None)


def parts(place: Place) -> str:
    """Return what the line itself took and what others did, or nothing where it took nearly all."""
    named = [
        (line_of(one["file"], one["line"], one["cell"]), one["seconds"]) for one in place.lines
    ]
    return others(place.seconds, named)


def line_of(file: str, line: int, cell: str | None) -> str:
    """Return a line as `folder/app.py:12`, or `cell [5], line 3`."""
    return f"{cell}, line {line}" if cell is not None else f"{shown(file)}:{line}"


def diagnosis(place: Place) -> str:
    """Return what stalls at a place are, in one sentence, or nothing where they look like nothing known."""
    sentence = place.telling.get("diagnosis")
    if sentence:
        return str(sentence)
    conflict = place.conflict
    return CONFLICTS[conflict].sentence if conflict in CONFLICTS else ""
