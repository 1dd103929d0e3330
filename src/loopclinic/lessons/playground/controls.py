"""Controls of the playground: one widget for each of its settings, in groups."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as w

from loopclinic.lessons.playground.settings import KINDS, REMEDIES, Settings

_SHARES = (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_LIMITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 0)
"""0 is no limit: widgets take None for "nothing chosen"."""
_TIMES = (
    *(1, 2, 3, 4, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 75, 100, 125, 150, 200, 250, 300, 400, 500),
    *(750, 1000, 1500, 2000, 3000, 5000),
)  # fmt: skip
"""Milliseconds."""
_MS = 1000.0

_SPREAD: dict[str, Any] = {"min": 0.0, "max": 2.0, "step": 0.1, "readout_format": ".1f"}
_WIDE = {"description_width": "128px"}
_FIRST = ("share", "how", "block", "remedy", "rate")
"""The dials that are always in view; the others unfold."""


class Controls(w.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Shows settings and tells of those that the reader turns: `turned(settings)`, on any thread."""

    def __init__(self, settings: Settings, turned: Callable[[Settings], None]) -> None:
        self.settings = settings
        self._turned = turned
        self._lock = threading.RLock()
        self._showing = False
        self.parts: dict[str, Any] = {
            "share": _choice("blocking requests", [(f"{100 * one:g} %", one) for one in _SHARES]),
            "how": _pick("by", KINDS),
            "block": _time("for", 5, 1000),
            "remedy": _pick("remedy", REMEDIES),
            "threads": _count(
                "threads", 1, 64, "of the sized executor; processes of the process pool"
            ),
            "rate": _count("requests a second", 1, 500),
            "bursts": _count("burstiness", 0, 20, "0 evenly spaced, 1 Poisson, n bursts of n"),
            "service": _time("service time", 1, 500),
            "spread": _part(w.FloatSlider, "its spread", **_SPREAD),
            "limit": _choice("concurrency limit", [(f"{one or 'none'}", one) for one in _LIMITS]),
            "pool": _count("pool size", 1, 100),
            "capacity": _count("upstream capacity", 1, 100),
            "fastest_at": _choice(
                "upstream best at",
                [(f"{one or 'any'}", one) for one in _LIMITS],
                "requests with which the upstream gets most done; more get into each other's way",
            ),
            "timeout": _time("timeout", 50, 5000),
            "retries": _count("retries", 0, 5),
        }
        self.show(settings)
        for part in self.parts.values():
            part.observe(self._change, names="value")
        groups = (
            ("Callers", ("bursts", "timeout", "retries")),
            ("Work", ("service", "spread", "threads")),
            ("Limits", ("limit", "pool", "capacity", "fastest_at")),
        )
        first = w.HBox([self.parts[name] for name in _FIRST])
        self._rest = w.HBox(
            [_group(title, [self.parts[name] for name in names]) for title, names in groups]
        )
        for box in (first, self._rest):
            box.add_class("lc-dials")
        self.more = w.ToggleButton(description="More dials", icon="caret-right")
        self.more.observe(self._unfold, names="value")
        self._unfold()
        super().__init__([first, self.more, self._rest])
        self.add_class("lc-controls")

    def _unfold(self, _: Any = None) -> None:
        self._rest.layout.display = None if self.more.value else "none"
        self.more.icon = "caret-down" if self.more.value else "caret-right"

    def show(self, settings: Settings) -> None:
        """Move the widgets; `turned` is not called."""
        with self._lock, self._quietly():
            self.settings = settings
            for name, part in self.parts.items():
                value = getattr(settings, name)
                if isinstance(part, w.SelectionSlider):
                    value = _nearest(value or 0, [one for _, one in part.options])
                if part.value != value:
                    part.value = value

    def without(self, how: str) -> None:
        """Remove one kind of blocking call from its control."""
        with self._lock, self._quietly():
            part = self.parts["how"]
            left = [(words, name) for name, words in KINDS.items() if name != how]
            if len(part.options) > len(left):
                part.options = left
            self.settings = self.settings.but(how=part.value)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        self._showing = True
        try:
            yield
        finally:
            self._showing = False

    def _change(self, change: dict[str, Any]) -> None:
        with self._lock:
            if self._showing:
                return
            name = next(name for name, part in self.parts.items() if part is change["owner"])
            value = change["new"]
            if name in ("limit", "fastest_at"):
                value = value or None
            elif name == "spread":
                value = round(value, 2)
            self.settings = self.settings.but(**{name: value})
            self._turned(self.settings)


def _nearest(value: float, known: Sequence[float]) -> float:
    return min(known, key=lambda one: abs(one - value))


def _group(title: str, parts: list[Any]) -> Any:
    name = w.Label(title)
    name.add_class("lc-title")
    box = w.VBox([name, *parts])
    box.add_class("lc-group")
    return box


def _part(kind: Any, text: str, tip: str = "", **options: Any) -> Any:
    """Return a widget of this kind with a text beside it."""
    looks = {"style": _WIDE, "layout": w.Layout(width="auto"), "tooltip": tip or text}
    return kind(description=text, **options, **looks)


def _choice(text: str, options: list[tuple[str, Any]], tip: str = "") -> Any:
    return _part(w.SelectionSlider, text, tip, options=options)


def _pick(text: str, names: dict[str, str]) -> Any:
    return _part(w.Dropdown, text, options=[(words, name) for name, words in names.items()])


def _count(text: str, low: int, high: int, tip: str = "") -> Any:
    return _part(w.IntSlider, text, tip, min=low, max=high)


def _time(text: str, low: int, high: int) -> Any:
    times = [(one, one / _MS) for one in _TIMES if low <= one <= high]
    return _choice(text, [(f"{ms} ms" if ms < _MS else f"{s:g} s", s) for ms, s in times])
