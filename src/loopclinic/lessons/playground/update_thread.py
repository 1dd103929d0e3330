"""Thread that updates the playground: changes settings, reads figures, sends them to the page."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from loopclinic.lessons.playground.forecast import Forecast
from loopclinic.lessons.playground.live_figures import LiveFigures, Moment
from loopclinic.lessons.playground.processes import Processes
from loopclinic.lessons.playground.recording import Change, Point
from loopclinic.lessons.playground.settings import KINDS, Settings, in_words
from loopclinic.servers import ServerError

_EVERY = 0.1
_POINT = 0.25
_SETTLE = 1.0  # seconds after a change that don't count among these
_SETTLING = 0.4  # share of a step that doesn't: its beginning is what the step before left
_KEPT = 260  # points: a minute and a bit
_SAME = 2.0  # seconds in which one control turned on is one change


@dataclass(frozen=True, slots=True)
class Step:
    """One position of the controls, held for so many seconds, and a sentence about it."""

    settings: Settings
    seconds: float
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one step showed. `lag` is the loop's worst, in seconds."""

    step: Step
    moment: Moment | None
    expected: Forecast
    lag: float


class UpdateThread:
    """Runs the processes from a thread until `stop()`; calls `send(message)` on that thread.

    Messages: `tick` (for a scope), `point`, `mark`, `beside`, `step`, `state`; see the chart.
    """

    def __init__(self, settings: Settings, send: Callable[[dict[str, Any]], None]) -> None:
        self.settings = settings
        self.points: deque[Point] = deque(maxlen=_KEPT)
        self.changes: deque[Change] = deque(maxlen=_KEPT)
        self.first = settings
        """Before the earliest of `changes`."""
        self.processes: Processes | None = None
        self.running = False
        self._send = send
        self._wanted: Settings | None = None
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._steps: deque[Step] = deque()
        self._seen: list[Seen] = []
        self._played: Future[list[Seen]] | None = None
        self._step_until = 0.0
        self._step_lag = 0.0
        self._reading = LiveFigures(settings)
        self._failure = ""
        self._next_point = 0.0
        self._playing_step: Step | None = None
        self._thread = threading.Thread(target=self._run, name="playground", daemon=True)

    def start(self) -> None:
        """Start the processes and the load, in the background."""
        self.running = True
        self._thread.start()

    def stop(self) -> None:
        """End the processes; returns when they are gone. Idempotent."""
        self._stopped.set()
        self._wake.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(15)

    def turn(self, settings: Settings) -> None:
        """Apply the settings soon; of several within a tenth of a second only the last."""
        with self._lock:
            self._wanted = settings
        self._wake.set()

    def play(self, steps: Sequence[Step]) -> "Future[list[Seen]]":
        """Turn the controls step by step; the future gives what each one showed.

        It is cancelled by another call, by `leave()` and at the end.
        """
        self.leave()
        future: Future[list[Seen]] = Future()
        with self._lock:
            self._steps = deque(steps)
            self._seen = []
            self._played = future
            self._step_until = 0.0
        self._wake.set()
        return future

    def leave(self) -> None:
        """End what `play` began; the controls stay where they are."""
        with self._lock:
            played, self._played = self._played, None
            self._steps.clear()
        if played is not None:
            played.cancel()

    @property
    def playing(self) -> bool:
        """Whether steps are played."""
        return self._played is not None

    # On the thread.

    def _run(self) -> None:
        self._tell("starting", "Starting a service, its upstream and its callers.")
        sentence = ""
        try:
            with Processes(self.settings.but(remedy="none", share=0.0)) as self.processes:
                self._turn(self.settings, first=True)
                self._tell("running")
                self._send({"kind": "history", "history": self.processes.history})
                while not self._stopped.is_set():
                    self._update(self.processes)
                    self._wake.wait(_EVERY)
                    self._wake.clear()
        except ServerError as error:
            sentence = f"It has ended: {error}"
        finally:
            self.running = False
            self.processes = None
            self.leave()
            self._tell("stopped", sentence)

    def _update(self, processes: Processes) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, None
        if wanted is not None and wanted != self.settings:
            self._turn(wanted)
        self._advance()
        now = time.monotonic()
        due = now >= self._next_point
        news = processes.poll(callers=due)
        if due:
            self._next_point = now + _POINT
        if news.tick is not None:
            self._reading.add_lag(news.tick["lag"])
            self._step_lag = max(self._step_lag, news.tick["lag"])
            self._send(news.tick)
        if news.service is not None:
            self._reading.add_service(news.service)
            failed = news.service["failed"]
            if failed and failed != self._failure:  # said once
                self._tell("failed", failed)
            self._failure = failed
        if news.stream is not None:
            self._receive(news.stream)

    def _turn(self, settings: Settings, *, first: bool = False) -> None:
        assert self.processes is not None
        if settings.share and settings.how == "query":
            self._tell("waiting", "Asking for PostgreSQL.")
        try:
            self.processes.turn(settings)
        except ServerError as error:
            self._tell("refused", f"{KINDS['query']} needs PostgreSQL: {error}")
            settings = settings.but(share=0.0)
            self.processes.turn(settings)
        else:
            self._tell("running")
        before, self.settings = self.settings, settings
        self._reading.turn(settings)
        if not first:
            self._mark(before, settings)

    def _tell(self, state: str, sentence: str = "") -> None:
        self._send({"kind": "state", "state": state, "sentence": sentence})

    def _mark(self, before: Settings, after: Settings) -> None:
        if not (changed := before.changes(after)):
            return
        at = self.points[-1].at if self.points else 0.0
        last = self.changes[-1] if self.changes else None
        same = last is not None and last.changed.keys() == changed.keys() and at - last.at < _SAME
        if same:
            at = self.changes.pop().at
        if len(self.changes) == self.changes.maxlen:
            self.first = self.first.but(**self.changes[0].changed)
        self.changes.append(Change(at, changed))
        self._send({"kind": "mark", "at": at, "words": in_words(changed), "same": same})

    def _advance(self) -> None:
        """Go to the next step if it is due, and book what the one before showed."""
        with self._lock:
            played = self._played
            if played is None or time.monotonic() < self._step_until:
                return
            before = self._playing_step if self._step_until else None
            step = self._steps.popleft() if self._steps else None
            self._playing_step = step
        if before is not None:
            moment, expected = self._reading.moment, self._reading.expected
            self._seen.append(Seen(before, moment, expected, self._step_lag))
        if step is None:
            with self._lock:
                self._played = None
            self._send({"kind": "step", "sentence": "", "last": True})
            with suppress(Exception):  # whoever waited for it has left
                played.set_result(self._seen)
            return
        said = {"sentence": step.sentence, "settings": step.settings, "last": False}
        self._send({"kind": "step", **said})
        if step.settings != self.settings:
            self._turn(step.settings)
        else:
            self._reading.turn(step.settings)
        self._step_lag = 0.0
        self._step_until = time.monotonic() + step.seconds

    def _receive(self, taken: dict[str, Any]) -> None:
        point = self._reading.add_calls(taken, self._settle)
        if point is None:
            return
        self.points.append(point)
        seen = self._reading.expected
        self._send({"kind": "point", "point": point.to_list(), "stable": seen.stable})
        self._send({"kind": "beside", "rows": self._reading.rows(), "broken": seen.broken})

    @property
    def _settle(self) -> float:
        """Seconds after a change that don't count among the figures beside theory."""
        step = self._playing_step if self.playing else None
        return _SETTLE if step is None else _SETTLING * step.seconds
