"""The live widget: a page that goes on drawing while the loop is stuck."""

import asyncio
import base64
import io
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import anywidget
import traitlets

from loopclinic.probe import Probe
from loopclinic.scope.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

__all__ = ["Scope"]

_EVERY = 0.1  # seconds between ticks
_UNSEEN = 150.0  # seconds without a sign of life from any page until a scope stops to measure
_STATIC = Path(__file__).parent / "static"
_PARTS = ("words", "track", "elements", "strip", "exports", "rows", "chip", "view", "scope")


def page_source() -> str:
    """Return the page's code as the one module that anywidget takes: the files one after another."""
    return "\n".join((_STATIC / f"{name}.js").read_text("utf-8") for name in _PARTS)


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
    _css = _STATIC / "scope.css"
    # Asked for afresh whenever a page is (re)loaded; never pushed.
    history = traitlets.Any(None).tag(sync=True, to_json=lambda _, scope: scope.recorder.history())

    lessons: ClassVar[dict[str, tuple[str, str]]] = {}
    """Conflict name -> (lesson name, title) of the lesson that treats it."""
    _of_cell: ClassVar[dict[str, tuple[str, "weakref.WeakSet[Scope]"]]] = {}
    """Cell id -> the request that ran it last, and the scopes that it made."""

    def __init__(
        self,
        probe: Probe | None = None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        threshold: float = 0.05,
    ) -> None:
        self._own = probe is None or not probe.running
        self.probe = probe or Probe(loop=loop, threshold=threshold, witness=True)
        if not self.probe.running:
            self.probe.start()
        self.recorder = Recorder(self.probe, self.lessons)
        self._cell, self._run = _running_cell()
        self._lock = threading.Lock()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._asked = 0.0
        super().__init__()
        self.on_msg(self._hear)
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
        self.send({"kind": "stopped"})

    def close(self) -> None:
        """Stop measuring and take the widget off the page."""
        if "_lock" in self.__dict__:  # ipywidgets closes what was never made, too
            self.stop()
        super().close()

    def picture(self, *, dark: bool = False) -> "Figure":
        """Return a still picture of the last minute, for where there is no widget."""
        if self.probe.running:
            self._tick()  # through the page too: a stall is told of once
        history = self.recorder.history()
        # Only now: loading matplotlib is itself a stall, and not the one to be drawn.
        from loopclinic.scope.picture import picture  # noqa: PLC0415

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

    def _hear(self, _: object, content: dict[str, Any], __: object) -> None:
        """Take a page's sign of life; JupyterLab may deliver it on any thread."""
        if content.get("kind") == "alive" and self.probe.running:
            self._asked = self.probe.snapshot().at

    def _replace_older(self) -> None:
        """Stop the scopes that an earlier run of the same cell made."""
        if self._cell is None:
            return
        run, scopes = self._of_cell.get(self._cell, (self._run, weakref.WeakSet[Scope]()))
        if run != self._run:
            for older in tuple(scopes):
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
            data["image/png"] = _png(self.picture())
        return data, metadata

    def __str__(self) -> str:
        return str(self.probe.report())


def _png(figure: "Figure") -> str:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return base64.b64encode(out.getvalue()).decode()


def _running_cell() -> tuple[str | None, str]:
    """Return the id of the cell that is running in a page such as JupyterLab's, or None, and of the run."""
    try:
        from IPython import get_ipython  # noqa: PLC0415 - there may be no IPython

        parent = get_ipython().kernel.get_parent()
        return str(parent["metadata"]["cellId"]), str(parent["header"]["msg_id"])
    except (ImportError, AttributeError, KeyError, TypeError):
        return None, ""
