"""`loopclinic.Timeline`: what each task of a loop does, in a notebook, in a terminal and as a file."""

import asyncio
import json
from pathlib import Path
from time import perf_counter
from typing import Any, Self

from loopclinic.drawing.live_drawing import LiveDrawing
from loopclinic.drawing.tables import Drawing, Drawn
from loopclinic.probe import Probe
from loopclinic.timeline.chrome_trace import chrome_trace
from loopclinic.timeline.lane_picture import drawing_of
from loopclinic.timeline.model import LaneStall, Trace
from loopclinic.timeline.task_recorder import Clock, Recorder
from loopclinic.units import count

_EVERY = 0.2  # seconds between two pictures


class Timeline(Drawn):
    """Record what each task of a loop does: running, ready but the loop is busy, or suspended at a line.

    Use it as `with Timeline() as timeline:`, on the loop's thread. In a notebook it draws itself below the
    cell while it records, fed by a thread, so that it moves also while the loop is stuck. Afterwards
    `print(timeline)` shows it in a terminal, and `save()` writes it for Perfetto.

    Args:
        loop: the loop to record; the running one unless given.
        probe: a running probe of that loop, whose stalls are drawn; one of its own unless given.
        threshold: seconds of busy time from which on an iteration is a stall.
        lanes: how many tasks have a lane at most.
        steps: how many steps of all tasks together are kept, the latest ones.
        live: whether it draws itself in a notebook.

    A loop whose clock is its own, such as one in virtual time, is recorded on that clock, without a probe:
    a stall is then a step of a task that is longer than the threshold.

    Raises:
        RuntimeError: at the start, if no loop is running and none was given, or it was started before.
        UnsupportedLoopError: at the start, if the loop has neither a selector nor timers.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        probe: Probe | None = None,
        threshold: float = 0.05,
        lanes: int = 200,
        steps: int = 10_000,
        live: bool = True,
    ) -> None:
        self._loop, self._probe, self._own = loop, probe, probe is None
        self._threshold = probe.threshold if probe is not None else threshold
        self._most, self._steps, self._live = lanes, steps, live
        self._recorder: Recorder | None = None
        self._picture: LiveDrawing | None = None
        self._unsubscribe: Any = None
        self._offset = 0.0
        self._trace: Trace | None = None

    def start(self) -> Self:
        """Begin to record."""
        if self._recorder is not None:
            raise RuntimeError("This timeline was started before: make another Timeline().")
        loop = self._loop or _running_loop()
        clock = _own_clock(loop)
        if clock is None and self._probe is None:
            self._probe = Probe(loop=loop, threshold=self._threshold)
        if self._live and self._probe is not None:  # first: to show it takes a while
            self._picture = LiveDrawing(drawing_of(Trace((), 0.0)))
        if self._own and self._probe is not None:
            self._probe.start()
        recorder = Recorder(loop, clock or perf_counter, lanes=self._most, steps=self._steps)
        recorder.install()
        self._recorder = recorder
        if self._probe is not None:
            self._offset = recorder.clock() - recorder.began - self._probe.snapshot().at
            if self._picture is not None and self._picture.shown:
                self._unsubscribe = self._probe.subscribe(self._show, every=_EVERY)
        return self

    def stop(self) -> Trace:
        """Stop recording, leave the loop as it was found, and return what was recorded."""
        recorder = self._recorder
        if recorder is None or self._trace is not None:
            return self.trace()
        recorder.remove()
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._own and self._probe is not None:
            self._probe.stop()
        self._trace = self._taken(recorder)
        if self._picture is not None:
            self._picture.show(self.drawing())
        return self._trace

    def trace(self) -> Trace:
        """Return what was recorded so far, from any thread; RuntimeError if it was never started."""
        if self._trace is not None:
            return self._trace
        if self._recorder is None:
            step = "use 'with Timeline() as timeline:'."
            raise RuntimeError(f"This timeline was never started: {step}")
        return self._taken(self._recorder)

    def drawing(self) -> Drawing:
        """Draw it, for a notebook and for a terminal."""
        return drawing_of(self.trace())

    def to_chrome(self, name: str = "event loop", origin: float = 0.0) -> dict[str, Any]:
        """Return it as values of the Chrome trace event format; it began at `origin`, in seconds."""
        return chrome_trace(self.trace(), name=name, origin=origin)

    def save(self, file: str | Path) -> None:
        """Write it in the Chrome trace event format, which https://ui.perfetto.dev opens."""
        Path(file).write_text(json.dumps(self.to_chrome()), "utf-8")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _show(self) -> None:
        if self._picture is not None and self._trace is None:
            self._picture.show(self.drawing())

    def _taken(self, recorder: Recorder) -> Trace:
        lanes = recorder.lanes()
        end = (recorder.clock() if recorder.live else recorder.stopped) - recorder.began
        notes = []
        if many := recorder.refused:
            notes.append(f"{count(many, 'task')} got no lane: {self._most} is the most.")
        if many := recorder.replaced:
            notes.append(f"{count(many, 'task')} that had ended made room for later ones.")
        if steps := sum(one.left_out for one in lanes):
            notes.append(f"The earliest {count(steps, 'step')} were not kept.")
        if any(span.waits_for == "I/O" for one in lanes for span in one.spans):
            notes.append("A task that waits for I/O counts as ready from when the loop saw it.")
        return Trace(lanes, end, self._stalls(lanes, end), notes=tuple(notes))

    def _stalls(self, lanes: Any, end: float) -> tuple[LaneStall, ...]:
        if self._probe is None:
            long = [
                LaneStall(span.started, span.ended, f"{lane.name}, up to {span.where}", span.code)
                for lane in lanes
                for span in lane.spans
                if span.state == "running" and span.length >= self._threshold
            ]
            return tuple(sorted(long, key=lambda one: one.started))
        current = self._probe.current() if self._probe.running else None
        found = [(one, False) for one in self._probe.stalls]
        found += [(current, True)] if current is not None else []
        stalls = []
        for one, going_on in found:
            began = one.started + self._offset
            cut = max(0.0, began), min(end, began + one.seconds)
            stalls.append(LaneStall(*cut, one.where, one.code or "", going_on))
        return tuple(one for one in stalls if one.ended > one.started)


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "No event loop is running here: start the timeline inside a coroutine, "
            "or pass Timeline(loop)."
        ) from None


def _own_clock(loop: asyncio.AbstractEventLoop) -> Clock | None:
    """Return the loop's clock where it is one of its own, such as virtual time."""
    usual = asyncio.BaseEventLoop
    own = isinstance(loop, usual) and type(loop).time is not usual.time
    return loop.time if own else None
