"""Widgets of the playground: a live chart of how long callers wait, and the scope of the service's loop."""

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from loopclinic import scope
from loopclinic.drawing import scripted, styled
from loopclinic.lessons.playground.recording import Recording
from loopclinic.scope.widget import page_source

_HERE = Path(__file__).parent
_SCOPE = Path(scope.__file__).parent / "static"
_TICKS, _STALLS = 900, 50


class Chart(anywidget.AnyWidget):
    """Draws what `UpdateThread` sends, and calls `on_page(kind)` when a page says that it is alive or left."""

    _esm = scripted(_SCOPE / "words.js", _SCOPE / "elements.js", _HERE / "chart.js")
    _css = styled(_HERE / "playground.css")
    # Asked for afresh whenever a page is (re)loaded; never pushed.
    past = traitlets.Any(None).tag(sync=True, to_json=lambda _, chart: chart.all_known())

    def __init__(
        self, on_page: Callable[[str], None], known: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._known = known
        self._over: dict[str, Any] | None = None
        super().__init__()
        self.on_msg(lambda _widget, message, _buffers: on_page(message["kind"]))

    def lay_under(self, recording: Recording | None) -> None:
        """Draw a recording faintly under the live lines, or none."""
        self._over = None
        if recording is not None:
            points = [point.to_list() for point in recording.points]
            self._over = {"name": recording.name, "points": points}
        self.send({"kind": "over", "over": self._over})

    def download(self, name: str, kind: str, data: bytes) -> None:
        """Have the page save a file; `kind` is its media type."""
        self.send({"kind": "file", "name": name, "type": kind}, [data])

    def all_known(self) -> dict[str, Any]:
        """Return all that a page needs which was not there before."""
        return {**self._known(), "over": self._over}


class RemoteScope(anywidget.AnyWidget):
    """The scope's page, fed by ticks that come from another process."""

    _esm = page_source()
    _css = styled(_SCOPE / "scope.css")
    history = traitlets.Any(None).tag(sync=True, to_json=lambda _, far: far.known())

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {"threshold": 0.05, "lessons": {}, "notebooks": None}
        self.begin({})
        super().__init__()

    def begin(self, history: Mapping[str, Any]) -> None:
        """Forget all ticks: those of another service follow."""
        self._settings |= history.get("settings", {})
        self._now: Mapping[str, Any] | None = None
        self._ticks: deque[list[Any]] = deque(maxlen=_TICKS)
        self._stalls: deque[Any] = deque(maxlen=_STALLS)
        self._stopped = False

    def add(self, tick: Mapping[str, Any]) -> None:
        """Show a tick of a `Recorder`, and keep it for pages that load later."""
        self._now = tick
        self._ticks.append([tick["at"], tick["strip"]])
        self._stalls += tick["ended"]
        self.send(tick)

    def stop(self) -> None:
        """Show that no more ticks will come."""
        self._stopped = True
        self.send({"kind": "stopped"})

    def known(self) -> dict[str, Any]:
        """Return all that a page needs which was not there before."""
        return {
            "now": {**self._now, "ended": []} if self._now is not None else None,
            "ticks": [*self._ticks],
            "stalls": [*self._stalls],
            "stopped": self._stopped,
            "settings": self._settings,
        }
