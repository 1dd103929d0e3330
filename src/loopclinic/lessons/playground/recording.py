"""Recording of a playground run: its points, settings and changes, saved as JSON and read again."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from loopclinic.lessons.playground.settings import Settings
from loopclinic.paths import state_dir

_SCHEMA = 1
_LONGEST_NAME = 60


class RecordingError(ValueError):
    """A file is no recording of the playground; the message says why."""


@dataclass(frozen=True, slots=True)
class Point:
    """A quarter of a second. `at` in seconds since the recording began; None: nothing to say.

    `p50`, `p99`, `lag` and `expected` (the p99 by theory) in seconds, `answered`, `failed` and
    `attempts` a second, `busy` the loop's share from 0 to 1.
    """

    at: float
    p50: float | None = None
    p99: float | None = None
    answered: float | None = None
    failed: float | None = None
    attempts: float | None = None
    in_flight: float | None = None
    lag: float | None = None
    busy: float | None = None
    expected: float | None = None

    def to_list(self) -> list[float | None]:
        """Return the values in order, rounded to what was measured."""
        return [_short(getattr(self, name)) for name in COLUMNS]


COLUMNS = tuple(one.name for one in fields(Point))


@dataclass(frozen=True, slots=True)
class Change:
    """A control that was turned: when, and to what."""

    at: float
    changed: Mapping[str, Any]


@dataclass(frozen=True)
class Recording:
    """A stretch of one run."""

    name: str
    settings: Settings
    """At its beginning."""
    points: tuple[Point, ...]
    changes: tuple[Change, ...] = ()
    made: str = ""
    """The moment it was kept, ISO 8601."""

    @classmethod
    def of(
        cls, name: str, settings: Settings, points: Iterable[Point], changes: Iterable[Change]
    ) -> Self:
        """Make a recording of these points under a name, counted from the first of them.

        Raises:
            RecordingError: there are none yet, or the name is empty.
        """
        title = name.strip()[:_LONGEST_NAME]
        if not (known := list(points)):
            raise RecordingError("Nothing has been measured yet: wait for the first figures.")
        if not _slug(title):
            raise RecordingError("A recording needs a name with a letter or a digit in it.")
        first, later = known[0].at, []
        for change in changes:
            if change.at < first:
                settings = settings.but(**change.changed)
            else:
                later.append(Change(round(change.at - first, 3), change.changed))
        moved = (Point(round(one.at - first, 3), *one.to_list()[1:]) for one in known)
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(title, settings, tuple(moved), tuple(later), now)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.points[-1].at

    def to_json(self) -> str:
        """Return the recording as JSON; `from_json` reads it again."""
        values = {
            "schema": _SCHEMA,
            "name": self.name,
            "made": self.made,
            "settings": self.settings.to_dict(),
            "changes": [[change.at, dict(change.changed)] for change in self.changes],
            "columns": COLUMNS,
            "points": [point.to_list() for point in self.points],
        }
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            RecordingError: it is none, or one of a newer version.
        """
        try:
            return cls._of_values(json.loads(text))
        except RecordingError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            said = f"{type(error).__name__}: {error}"
            raise RecordingError(f"This is no recording of the playground ({said}).") from None

    @classmethod
    def _of_values(cls, values: Mapping[str, Any]) -> Self:
        if (schema := values["schema"]) != _SCHEMA:
            raise RecordingError(
                f"This recording has schema {schema}, and this version of loopclinic reads "
                f"{_SCHEMA}: update it."
            )
        rows = (dict(zip(values["columns"], row, strict=True)) for row in values["points"])
        points = [{name: _number(row[name]) for name in row if name in COLUMNS} for row in rows]
        if not points:
            raise RecordingError("This recording holds no points.")
        return cls(
            str(values["name"]),
            Settings.of(values["settings"]),
            tuple(Point(**one) for one in points),  # type: ignore[arg-type]
            tuple(Change(float(at), dict(changed)) for at, changed in values["changes"]),
            str(values["made"]),
        )

    def save(self) -> Path:
        """Write it among the user's recordings; one of the same name is replaced."""
        file = folder() / f"{_slug(self.name)}.json"
        draft = file.with_suffix(".part")
        draft.write_text(self.to_json(), encoding="utf-8")
        draft.replace(file)
        return file

    @property
    def file_name(self) -> str:
        """A name for a file, without its ending."""
        return f"playground-{_slug(self.name)}"


def folder() -> Path:
    """Return where recordings are kept: below the user's state folder."""
    place = state_dir() / "recordings"
    place.mkdir(exist_ok=True)
    return place


def recordings() -> dict[str, Recording]:
    """Return those that were kept, by name, the latest first; what can't be read is left out."""
    found = []
    for file in folder().glob("*.json"):
        try:
            found.append(Recording.from_json(file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, RecordingError):
            continue
    found.sort(key=lambda one: one.made, reverse=True)
    return {one.name: one for one in found}


def _slug(name: str) -> str:
    return re.sub(r"[^\w]+", "-", name.lower()).strip("-_")


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 5)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RecordingError(f"{value!r} is no figure.")
    return float(value)
