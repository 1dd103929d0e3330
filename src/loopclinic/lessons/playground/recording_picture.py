"""Still picture of playground recordings (Matplotlib), for slides and pages without widgets."""

import io
from dataclasses import dataclass
from math import nan
from typing import Any

from matplotlib.figure import Figure

from loopclinic.lessons.playground.recording import Recording
from loopclinic.lessons.playground.settings import in_words
from loopclinic.scope.still_picture import log_seconds
from loopclinic.units import duration, shortened

_HIGH, _LOW, _LAW = "#D55E00", "#0072B2", "#009E73"
_INKS = {None: "#7C7C7C", False: "#3B3B3B", True: "#C8C8C8"}
_FLOOR, _CEILING = 0.001, 10.0
_LETTERS = 125  # of a change's words, across the whole picture
_LONGEST = 30


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook, without pyplot; `alt` says it in words."""

    alt = ""

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data = {"image/png": png(self, dpi=192, transparent=True), "text/plain": self.alt}
        size = zip(("width", "height"), self.get_size_inches(), strict=True)
        return data, {"image/png": {name: round(inches * 96) for name, inches in size}}


def picture(
    recording: Recording, over: Recording | None = None, *, dark: bool | None = None
) -> Picture:
    """Draw what callers waited, with the changes; `over` is drawn faintly below it."""
    ink = _INKS[dark]
    figure = Picture(figsize=(8.6, 4.2), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    log_seconds(axes, _FLOOR, _CEILING)
    axes.grid(visible=True, axis="y", color=ink, alpha=0.3, linestyle=(0, (1, 3)))
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=ink)
    axes.tick_params(colors=ink, labelsize=9)
    axes.set_xlabel("seconds", color=ink, fontsize=9)
    axes.set_ylabel("what callers wait", color=ink, fontsize=9)
    if over is not None:
        _lines(axes, over, f" of {over.name}", alpha=0.4)
    _lines(axes, recording, "", alpha=1.0)
    theory: dict[str, Any] = {"linestyle": (0, (6, 4)), "linewidth": 1.4, "label": "p99 by theory"}
    _line(axes, recording, "expected", color=_LAW, **theory)
    # More than a request in two seconds.
    if failed := [one.at for one in recording.points if (one.failed or 0) > 0.5]:
        marks: dict[str, Any] = {"color": _HIGH, "markersize": 8, "label": "requests failed"}
        axes.plot(failed, [_FLOOR * 1.15] * len(failed), "|", **marks)
    longest = max(one.seconds for one in (recording, over) if one is not None)
    axes.set_xlim(0, max(longest, 1.0))
    _changes(axes, recording, ink, per_letter=max(longest, 1.0) / _LETTERS)
    axes.set_title(recording.name, loc="left", color=ink, fontsize=11, pad=26)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=6, frameon=False, fontsize=8.5, labelcolor=ink,
        handlelength=2.0, columnspacing=1.4,
    )  # fmt: skip
    figure.alt = _alt(recording, over)
    return figure


def png(figure: Figure, **looks: Any) -> bytes:
    """Return a figure as PNG, on white unless `looks` say otherwise."""
    out = io.BytesIO()
    figure.savefig(out, format="png", **(looks or {"dpi": 160, "facecolor": "white"}))
    return out.getvalue()


def _changes(axes: Any, recording: Recording, ink: str, *, per_letter: float) -> None:
    """Mark each change, with its words in one of two rows, cut where the next ones begin."""
    rows: list[list[_Words]] = [[], []]
    for change in recording.changes:
        axes.axvline(change.at, color=ink, linewidth=0.8, linestyle=(0, (2, 3)))
        words = in_words(change.changed)
        ends = [row[-1].end if row else 0.0 for row in rows]
        own = rows[0 if change.at >= ends[0] or ends[0] <= ends[1] else 1]
        if own:
            own[-1].end = min(own[-1].end, change.at)
        end = change.at + (min(len(words), _LONGEST) + 2) * per_letter
        own.append(_Words(words, change.at, min(end, axes.get_xlim()[1])))
    for number, row in enumerate(rows):
        for one in row:
            letters = int((one.end - one.at) / per_letter) - 1
            if letters >= 3:  # of fewer nothing can be read
                axes.annotate(
                    shortened(one.words, letters),
                    (one.at, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -9 - 11 * number),
                    textcoords="offset points", fontsize=8, color=ink,
                )  # fmt: skip


@dataclass(slots=True)
class _Words:
    """What a change is called, in seconds from where to where it may stand."""

    words: str
    at: float
    end: float


def _lines(axes: Any, recording: Recording, more: str, *, alpha: float) -> None:
    _line(axes, recording, "p99", color=_HIGH, linewidth=2.2, alpha=alpha, label=f"p99{more}")
    _line(axes, recording, "p50", color=_LOW, linewidth=1.4, alpha=alpha, label=f"p50{more}")


def _line(axes: Any, recording: Recording, name: str, **looks: Any) -> None:
    values = [getattr(point, name) for point in recording.points]
    held = [nan if one is None else min(max(one, _FLOOR), _CEILING) for one in values]
    axes.plot([point.at for point in recording.points], held, **looks)


def _alt(recording: Recording, over: Recording | None) -> str:
    parts = []
    for one in (recording, over):
        if one is not None:
            known = [point.p99 for point in one.points if point.p99 is not None]
            worst = duration(max(known)) if known else "none"
            parts.append(f"{one.name}: {one.seconds:.0f} s, highest p99 {worst}")
    return "What callers waited. " + "; ".join(parts) + "."
