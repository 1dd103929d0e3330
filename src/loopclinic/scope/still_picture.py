"""Still picture of a scope, drawn with Matplotlib: for GitHub, exported pages and slides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from loopclinic.scope.recorder import WINDOW
from loopclinic.units import count, duration, shortened

_FLOOR, _CEILING = 0.001, 10.0
_MOST_ROWS = 5
_WORTH = 0.5  # seconds: the length of a shorter stall is in the list only
_ROOM = 1 / 15  # share of the strip that a written length needs: the longest is written first
_SPANS = (10.0, 20.0, 30.0, WINDOW)  # seconds that the strip may show
_NONE = "\N{EN DASH}"
_SANS = ["DejaVu Sans"]


@dataclass(frozen=True)
class _Theme:
    text: str
    muted: str
    surface: str
    border: str
    calm: str
    lag: str
    stall: str
    cell: str


# Okabe and Ito's colors, as in style.css.
_LIGHT = _Theme(
    "#1f2328", "#59616b", "#ffffff", "#dfe2e6", "#00805c", "#0072b2", "#c35100", "#8b929a"
)
_DARK = _Theme(
    "#e6e8ea", "#a3aab2", "#15181b", "#3a4046", "#1fb98c", "#56b4e9", "#f0792a", "#8e969e"
)


def picture(history: Mapping[str, Any], *, dark: bool = False) -> Figure:
    """Draw what `Recorder.history()` holds."""
    theme = _DARK if dark else _LIGHT
    now = history["now"]
    stalls = [one for one in history["stalls"] if now and one["started"] > now["at"] - 10 * WINDOW]
    rows = min(len(stalls), _MOST_ROWS)
    height = 3.75 + 0.3 * max(rows, 1)
    figure = Figure(figsize=(10, height), facecolor=theme.surface)
    figure.patches.append(
        Rectangle((0.002, 0.003), 0.996, 0.994, transform=figure.transFigure, fill=False,
                  edgecolor=theme.border, linewidth=1)
    )  # fmt: skip

    def axes(top: float, tall: float, left: float = 0.0, right: float = 1.0) -> Axes:
        return figure.add_axes((left, 1 - (top + tall) / height, right - left, tall / height))

    _status(axes(0.0, 0.72), theme, now, stalls)
    _numbers(axes(0.72, 0.92), theme, now)
    _strip(axes(2.02, 1.3, 0.065, 0.985), theme, history, now)
    _rows(axes(3.62, 0.3 * max(rows, 1), 0.0, 1.0), theme, now, stalls[::-1][:_MOST_ROWS])
    return figure


def _bare(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.axis("off")


def _status(axes: Axes, theme: _Theme, now: Any, stalls: list[Any]) -> None:
    _bare(axes)
    stuck = now and now["stall"]
    if stuck:
        color, word = theme.stall, "Stalled"
        rest, detail = f"now for {duration(stuck['seconds'])} at {stuck['where']}", stuck["code"]
    elif stalls:
        told = [one for one in stalls if not one["cell"]] or stalls
        worst = max(told, key=lambda one: one["seconds"])
        held = "a cell held the loop for" if worst["cell"] else "the last stall took"
        if len(told) > 1 and not worst["cell"]:
            held = f"the longest of {len(told)} stalls took"
        color, word = theme.calm, "Calm"
        past = now["at"] - worst["started"] - worst["seconds"]
        rest = f"again; {held} {duration(worst['seconds'])}, {past:.0f} s ago"
        detail = f"{worst['where']}   {worst['code']}"
    else:
        color, word, rest = theme.calm, "Calm", "the loop is free to answer"
        worst = duration(now["worst"]) if now else _NONE
        detail = f"No event of the last minute waited longer than {worst}."
    axes.add_patch(Rectangle((0, 0), 1, 1, color=color, alpha=0.12, linewidth=0))
    axes.add_patch(Rectangle((0, 0), 0.004, 1, color=color, linewidth=0))
    marker = "D" if stuck else "o"
    axes.plot([0.026], [0.66], marker, color=color, markersize=8, markerfacecolor=color if stuck else "none",
              markeredgewidth=1.8)  # fmt: skip
    name = axes.text(0.045, 0.66, word, weight="bold", size=12.5, color=theme.text, va="center")
    axes.annotate(f" {rest}", xy=(1, 0.5), xycoords=name, va="center", size=12.5, color=theme.text)
    axes.text(0.045, 0.26, _shorten(detail, 120), size=9.5, color=theme.muted, va="center",
              family=["DejaVu Sans Mono"] if stuck else _SANS)  # fmt: skip


def _numbers(axes: Axes, theme: _Theme, now: Any) -> None:
    _bare(axes)
    busy = now["utilization"] if now else None
    tasks = str(now["tasks"]) if now else _NONE
    requests = now["requests"] if now else None
    threads = f"{now['threads']} of {now['workers']}" if now and now["workers"] else _NONE
    figures = (
        ("lag now", duration(now["lag"] if now else None), "wait for the loop"),
        ("p99", duration(now["p99"] if now else None), "last 60 s"),
        ("worst", duration(now["worst"] if now else None), "last 60 s"),
        ("utilization", _NONE if busy is None else f"{busy:.0%}" if busy > 0.0995 else f"{busy:.1%}", "busy, last 5 s"),
        ("tasks", tasks, f"of them {count(requests, 'request')}" if requests else "on this loop"),
        ("threads", threads, "busy in executor"),
    )  # fmt: skip
    axes.axhline(0, color=theme.border, linewidth=1)
    axes.axhline(1, color=theme.border, linewidth=1)
    for index, (name, value, meaning) in enumerate(figures):
        x = index / 6
        if index:
            axes.axvline(x, color=theme.border, linewidth=1)
        color = theme.stall if name == "lag now" and now and now["stall"] else theme.text
        axes.text(x + 0.014, 0.84, name, size=8.5, color=theme.muted, va="center")
        axes.text(x + 0.014, 0.50, value, size=17, color=color, va="center")
        axes.text(x + 0.014, 0.16, meaning, size=8, color=theme.muted, va="center")


def log_seconds(axes: Axes, floor: float, ceiling: float) -> None:
    """Make the vertical axis one of seconds on a log scale."""
    axes.set_yscale("log")
    axes.set_ylim(floor, ceiling)
    axes.yaxis.set_major_locator(FixedLocator([0.001, 0.01, 0.1, 1, 10]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: f"{y:g} s" if y >= 1 else f"{y * 1000:g} ms")
    )


def _strip(axes: Axes, theme: _Theme, history: Mapping[str, Any], now: Any) -> None:
    axes.set_facecolor("none")
    log_seconds(axes, _FLOOR, _CEILING)
    span = _span(history["stalls"], now)
    axes.set_xlim(-span, 0)
    axes.xaxis.set_major_locator(FixedLocator([-span * share / 4 for share in range(4, -1, -1)]))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: f"{-x:g} s{' ago' if x == -span else ''}" if x else "now")
    )
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    axes.tick_params(colors=theme.muted, labelsize=8.5, length=3, color=theme.border)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="y", color=theme.border, linestyle=(0, (1, 3)))
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(theme.border)
    axes.set_title(
        f"Lag, last {span:g} s", loc="left", size=9.5, weight="bold", color=theme.text, pad=10
    )
    if now is None:
        return
    at, lag = [], []
    for when, value in history["ticks"]:
        at.append(when - now["at"])
        lag.append(float("nan") if value is None else max(value, _FLOOR * 1.02))
    axes.step(at, lag, where="pre", color=theme.lag, linewidth=1.3)
    axes.fill_between(at, _FLOOR, lag, step="pre", color=theme.lag, alpha=0.15, linewidth=0)
    shown = [*history["stalls"], *([now["stall"]] if now["stall"] else [])]
    written: list[float] = []
    for stall in sorted(shown, key=lambda one: -one["seconds"]):
        start = stall["started"] - now["at"]
        if start + stall["seconds"] > -span:
            middle = _mark(axes, theme, stall, start, span)
            apart = all(abs(one - middle) > _ROOM * span for one in written)
            if stall["seconds"] >= _WORTH and apart:
                written.append(middle)
                _write(axes, theme, stall, middle, span)
    threshold = f"{history['settings']['threshold'] * 1000:g} ms"
    axes.plot([], [], "-", color=theme.lag, label="lag")
    axes.plot([], [], "D", color=theme.stall, markersize=5, label=f"stall, over {threshold}")
    axes.plot(
        [], [], "s", color=theme.cell, markersize=5, fillstyle="none", label="synchronous cell"
    )
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, fontsize=8,
                labelcolor=theme.muted, handlelength=1.2, borderaxespad=1.1)  # fmt: skip


def _span(stalls: list[Any], now: Any) -> float:
    """Return the seconds to show: the least with every stall at least a tenth as long as the longest."""
    worst = max((one["seconds"] for one in stalls), default=0.0)
    first = min((one["started"] for one in stalls if one["seconds"] >= worst / 10), default=0.0)
    return next((span for span in _SPANS if now and now["at"] - first < span), WINDOW)


def _mark(axes: Axes, theme: _Theme, stall: Mapping[str, Any], start: float, span: float) -> float:
    """Draw a stall as a block as wide as it lasted, under a diamond; a cell as a gray block without one.

    Return where its middle is.
    """
    seconds = stall["seconds"]
    color = theme.cell if stall["cell"] else theme.stall
    left = max(start, -span)
    width = max(start + seconds - left, span / 500)
    top = min(seconds, _CEILING)
    axes.add_patch(
        Rectangle((left, _FLOOR), width, top - _FLOOR, color=color, alpha=0.28, linewidth=0)
    )
    style = "--" if stall["cell"] else "-"
    axes.plot([left, left + width], [top, top], style, color=color, linewidth=1.8)
    middle = float(min(left + width / 2, -span / 150))
    if not stall["cell"]:
        axes.plot(
            [middle], [top], "D", color=color, markersize=6, markeredgecolor=theme.surface, zorder=5
        )
    return middle


def _write(axes: Axes, theme: _Theme, stall: Mapping[str, Any], middle: float, span: float) -> None:
    top = min(stall["seconds"], _CEILING)
    axes.annotate(duration(stall["seconds"]), (middle, top), xytext=(0, 7), textcoords="offset points",
                  ha="center" if middle < -span / 30 else "right", size=8.5,
                  weight="normal" if stall["cell"] else "bold",
                  color=theme.muted if stall["cell"] else theme.text, annotation_clip=False)  # fmt: skip


def _rows(axes: Axes, theme: _Theme, now: Any, stalls: list[Any]) -> None:
    _bare(axes)
    if not stalls:
        axes.text(0.018, 0.5, "Nothing has stalled.", size=9.5, color=theme.muted, va="center")
        return
    for index, stall in enumerate(stalls):
        y = 1 - (index + 0.5) / len(stalls)
        if index:
            axes.axhline(1 - index / len(stalls), color=theme.border, linewidth=0.8)
        cell = stall["cell"]
        color = theme.muted if cell else theme.text
        axes.plot([0.022], [y], "s" if cell else "D", color=theme.cell if cell else theme.stall,
                  markersize=5, fillstyle="none" if cell else "full")  # fmt: skip
        axes.text(0.098, y, duration(stall["seconds"]), size=9.5, ha="right", va="center", color=color,
                  weight="normal" if cell else "bold")  # fmt: skip
        axes.text(0.125, y, _shorten(stall["where"], 24), size=9.5, va="center", color=color)
        axes.text(0.29, y, _shorten(stall["code"], 52), size=9, va="center", color=color,
                  family=["DejaVu Sans Mono"])  # fmt: skip
        what = (
            "synchronous cell"
            if cell
            else "the kit's own work"
            if stall.get("kit")
            else stall["conflict"] or ("GIL held" if stall["gil"] else "")
        )
        axes.text(0.905, y, what, size=9, ha="right", va="center", color=theme.muted)
        past = now["at"] - stall["started"] - stall["seconds"]
        axes.text(0.985, y, f"{past:.0f} s ago", size=9, ha="right", va="center", color=theme.muted)


def _shorten(text: str, most: int) -> str:
    # A dollar sign would start mathematics.
    text = text.replace("$", r"\$")
    return shortened(text, most)
