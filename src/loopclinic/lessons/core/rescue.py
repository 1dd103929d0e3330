"""Watchdog that breaks off a lab's call that keeps the loop, so that its verdict can name the line."""

import contextlib
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self

from loopclinic.lessons.core.call import BrokenOff
from loopclinic.lessons.stalls import LOOP, on_the_loop
from loopclinic.probe import Probe, Stall

__all__ = ["Rescue", "Rescued"]

_LOOK = 0.01
_NOTICED = 0.15
_STEADY = 0.25
"""Seconds for which what is asked has to stay the same: on a busy machine a wait is no hang yet."""
_ASKED = 8  # times at most
_AGAIN = 0.06
"""Seconds that a call gets once it is known what kind of lab this is."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """One call that was broken off: where it stood, for how long, and what was asked meanwhile."""

    stall: Stall
    asked: Any
    """What `ask` returned while the loop was stuck."""


class Rescue:
    """While it is open, raises `BrokenOff` in a lab's call that keeps the loop for `patience` seconds.

    A blocking wait for something that only the loop can give would outlive the check. The first one
    gets `patience`, and longer while what `alike` makes of the answer to `ask` still changes; once one
    was found, later ones are broken off at once. Only the main thread can be rescued,
    and only where there are signals: elsewhere the check's deadline ends the trial.
    """

    def __init__(
        self,
        probe: Probe,
        owns: Callable[[str], bool],
        *,
        ask: Callable[[], Any],
        alike: Callable[[Any], Any] = lambda asked: asked,
        patience: float = 1.0,
    ) -> None:
        self.found: list[Rescued] = []
        self._probe = probe
        self._owns = owns
        self._ask = ask
        self._alike = alike
        self._patience = patience
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rescue", daemon=True)
        self._signal = getattr(signal, "SIGUSR2", None)
        self._before: Any = None

    def __enter__(self) -> Self:
        if self._signal is not None:
            self._before = signal.signal(self._signal, self._break_off)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
            if not any(self._owns(frame.file) for frame in on_the_loop(stall)):
                continue
            asked = None
            if not self.found:
                with contextlib.suppress(Exception):
                    asked = self._steady()
                now = self._probe.current()
                if now is None or now.started != stall.started:
                    continue  # it went on meanwhile
            self.found.append(Rescued(stall, asked))
            if not self._over.is_set():
                signal.pthread_kill(main, self._signal)
                # libpq's wait looks at signals ten times a second, and begins anew at each one.
                self._over.wait(_NOTICED)

    def _steady(self) -> Any:
        """Return what is asked once it stays the same, or after some time."""
        asked = self._ask()
        for _ in range(_ASKED):
            before = asked
            if self._over.wait(_STEADY):
                break
            asked = self._ask()
            if self._alike(asked) == self._alike(before):
                break
        return asked

    def _break_off(self, number: int, frame: FrameType | None) -> None:
        del number
        # It may be over by now: below the loop there is no call of the lab's to break off.
        while frame is not None and frame.f_code.co_name != LOOP:
            if self._owns(frame.f_code.co_filename):
                raise BrokenOff
            frame = frame.f_back
