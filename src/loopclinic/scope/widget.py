"""Scope as a Jupyter widget: goes on drawing while the loop is stuck."""

import asyncio
import base64
import io
import json
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import anywidget
import traitlets

from loopclinic.drawing import scripted, styled
from loopclinic.probe import Probe
from loopclinic.scope.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from loopclinic.attached.sampler import ProcessProbe

_EVERY = 0.1  # seconds between ticks
_UNSEEN = 150.0  # seconds without a sign of life from any page until a scope stops to measure
_STATIC = Path(__file__).parent / "static"
_PARTS = ("words", "track", "elements", "strip", "exports", "rows", "chip", "view", "scope")


def page_source() -> str:
    """Return the page's code as the one module that anywidget takes."""
    return scripted(*(_STATIC / f"{name}.js" for name in _PARTS))


class Scope(anywidget.AnyWidget):
    """Show a probe live; as the last expression of a cell it appears below.

    Args:
        probe: a probe that is running or not yet started; one of its own unless given.
        loop: the loop to measure; the running one unless given.
        threshold: seconds of busy time from which on an iteration is a stall.

    It is fed by the probe's own thread, so the page moves also while the loop is stuck. A scope that
    no page shows stops measuring after two and a half minutes, one whose cell runs again at once.

    Raises:
        RuntimeError: no loop is running and none was given.
        UnsupportedLoopError: the loop has no selector.
    """

    _esm = page_source()
    _css = styled(_STATIC / "scope.css")
    # Asked for afresh whenever a page is (re)loaded; never pushed.
    history = traitlets.Any(None).tag(sync=True, to_json=lambda _, scope: scope.recorder.history())

    _of_cell: ClassVar[dict[str, tuple[str, "weakref.WeakSet[Scope]"]]] = {}
    """Cell id -> the request that ran it last, and the scopes that it made."""

    def __init__(
        self,
        probe: "Probe | ProcessProbe | None" = None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        threshold: float = 0.05,
    ) -> None:
        self._own = probe is None or not probe.running
        self.probe: Probe | ProcessProbe = probe or Probe(
            loop=loop, threshold=threshold, witness=True
        )
        if not self.probe.running:
            self.probe.start()
        self.recorder = Recorder(self.probe)
        self.earlier: dict[str, Any] | None = None
        """What the scope that an earlier run of this cell made had seen, if it saw a stall."""
        self._cell, self._run = _running_cell()
        self._lock = threading.Lock()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._asked = 0.0
        super().__init__()
        self.on_msg(self._on_message)
        self._replace_older()
        self._subscribe()

    def stop(self) -> None:
        """Stop measuring; the page keeps what it shows."""
        with self._lock:
            if self.recorder.stopped:
                return
            self.recorder.stopped = True
        self._unsubscribe()
        if self._own:
            self.probe.stop()
            if (last := self.recorder.finish()) is not None:
                self.send(last)
        self.send({"kind": "stopped"})

    def close(self) -> None:
        """Stop measuring and take the widget off the page."""
        if "_lock" in self.__dict__:  # ipywidgets closes what was never made, too
            self.stop()
        super().close()

    def newest_history(self) -> dict[str, Any]:
        """Return what is known up to this moment, in the form of `Recorder.history`."""
        if self.probe.running:
            self._tick()  # through the page too: a stall is told of once
        return self.recorder.history()

    def picture(self, *, dark: bool = False) -> "Figure":
        """Return a still picture of the last minute, for where there is no widget."""
        history = self.newest_history()
        # Only now: loading matplotlib is itself a stall, and not the one to be drawn.
        from loopclinic.scope.still_picture import picture

        return picture(history, dark=dark)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _subscribe(self) -> None:
        self._asked = self.probe.snapshot().at
        self._unsubscribe = self.probe.subscribe(self._tick, every=_EVERY)

    def _tick(self) -> None:
        if self.probe.loop is not None and self.probe.loop.is_closed():
            self.stop()  # nothing will ever happen on it
            return
        tick = self.recorder.tick()
        if tick["stall"] is not None or tick["ended"]:
            # A stuck loop can't hear the page either.
            self._asked = max(self._asked, tick["at"] - _UNSEEN / 2)
        if tick["at"] - self._asked > _UNSEEN:
            # stop() joins this very thread's loop; the probe knows not to wait for itself.
            self.stop()
            return
        self.send(tick)

    def _on_message(self, _: object, content: dict[str, Any], __: object) -> None:
        """Record that a page is still there; JupyterLab may deliver its message on any thread."""
        if content.get("kind") == "alive" and self.probe.running:
            self._asked = self.probe.snapshot().at

    def _replace_older(self) -> None:
        """Stop the scopes that an earlier run of the same cell made."""
        if self._cell is None:
            return
        run, scopes = self._of_cell.get(self._cell, (self._run, weakref.WeakSet[Scope]()))
        if run != self._run:
            for older in tuple(scopes):
                known = older.recorder.history()
                self.earlier = known if known["stalls"] else older.earlier
                older.close()  # its output is gone: nothing would ever free it
            scopes = weakref.WeakSet()
        scopes.add(self)
        self._of_cell[self._cell] = self._run, scopes

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        found = super()._repr_mimebundle_(**kwargs)
        data, metadata = found if isinstance(found, tuple) else (found or {}, {})
        data = {**data, "text/plain": str(self)}
        if self._cell is None:
            # Run by nbconvert or the like, which keeps what it is given: a page draws for itself.
            _still.add(self)
            data["image/png"] = png(self.picture())
        return data, metadata

    def __str__(self) -> str:
        return str(self.probe.report())


_still: weakref.WeakSet[Scope] = weakref.WeakSet()
"""The scopes of which a still picture was given away."""


def newest_histories() -> str:
    """Return what each scope that was shown as a picture knows now, by its model's id, as JSON."""
    return json.dumps({str(scope.model_id): scope.newest_history() for scope in tuple(_still)})


def png(figure: "Figure") -> str:
    """Return a figure as PNG in base64, as a notebook keeps it."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return base64.b64encode(out.getvalue()).decode()


def _running_cell() -> tuple[str | None, str]:
    """Return the id of the cell that is running in a page such as JupyterLab's, or None, and of the run."""
    try:
        from IPython import get_ipython  # there may be no IPython

        parent = get_ipython().kernel.get_parent()
        return str(parent["metadata"]["cellId"]), str(parent["header"]["msg_id"])
    except (ImportError, AttributeError, KeyError, TypeError):
        return None, ""
