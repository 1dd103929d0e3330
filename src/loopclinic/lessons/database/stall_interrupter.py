"""Watchdog that interrupts a call that blocks the loop too long, so that the verdict can name its line."""

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from loopclinic.lessons.core.call import BrokenOff
from loopclinic.lessons.core.stacks import learners
from loopclinic.lessons.database.sessions import Session
from loopclinic.probe import Frame, Probe, Stall

_LOOP = "_run_once"
"""The loop's own function, which calls all others that run on it."""
_LOOK = 0.01
_NOTICED = 0.15
_STEADY = 0.25
"""Seconds for which what is asked has to stay the same: on a busy machine a wait is no hang yet."""
_ASKED = 8  # times at most
_AGAIN = 0.06
"""Seconds that a call gets once it is known what kind of lab this is."""


class StallInterrupter:
    """While it is open, raises `BrokenOff` in a lab's call that keeps the loop for `patience` seconds.

    A blocking wait for something that only the loop can give would outlive the check. The first one
    gets `patience`, and longer while the states of the lab's `sessions` still change; once one was found,
    later ones are broken off at once. Only the main thread can be rescued,
    and only where there are signals: elsewhere the check's deadline ends the trial.
    """

    def __init__(
        self, probe: Probe, sessions: Callable[[], list[Session]], *, patience: float
    ) -> None:
        self.found: tuple[Stall, list[Session]] | None = None
        """The first such call: where it stood, and the lab's sessions while the loop was stuck."""
        self._probe, self._sessions, self._patience = probe, sessions, patience
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall-interrupter", daemon=True)
        self._signal = getattr(signal, "SIGUSR2", None)
        self._before: Any = None

    def __enter__(self) -> Self:
        if self._signal is not None:
            self._before = signal.signal(self._signal, self._break_off)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._signal is not None:
            # loopclinic: ignore[blocking-sync-primitive] a look takes milliseconds
            self._thread.join(5)
            signal.signal(self._signal, self._before)

    def _run(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        assert self._signal is not None
        while not self._over.wait(_LOOK):
            stall = self._probe.current()
            patience = _AGAIN if self.found else self._patience
            if stall is None or stall.seconds < patience:
                continue
            if not any(learners(frame.file) for frame in on_the_loop(stall)):
                continue
            if self.found is None:
                sessions: list[Session] = []
                with contextlib.suppress(Exception):
                    sessions = self._steady()
                now = self._probe.current()
                if now is None or now.started != stall.started:
                    continue  # it went on meanwhile
                self.found = stall, sessions
            if not self._over.is_set():
                signal.pthread_kill(main, self._signal)
                # libpq's wait looks at signals ten times a second, and begins anew at each one.
                self._over.wait(_NOTICED)

    def _steady(self) -> list[Session]:
        """Return the sessions once their states stay the same, or after some time."""
        sessions = self._sessions()
        for _ in range(_ASKED):
            before = {one.name: one.state for one in sessions}
            if self._over.wait(_STEADY):
                break
            sessions = self._sessions()
            if {one.name: one.state for one in sessions} == before:
                break
        return sessions

    def _break_off(self, number: int, frame: FrameType | None) -> None:
        del number
        # It may be over by now: below the loop there is no call of the lab's to break off.
        while frame is not None and frame.f_code.co_name != _LOOP:
            if learners(frame.f_code.co_filename):
                raise BrokenOff
            frame = frame.f_back


def on_the_loop(stall: Stall) -> tuple[Frame, ...]:
    """Return the frames that the loop had called, outermost first."""
    functions = [frame.function for frame in stall.stack]
    start = len(functions) - functions[::-1].index(_LOOP) if _LOOP in functions else 0
    return stall.stack[start:]
