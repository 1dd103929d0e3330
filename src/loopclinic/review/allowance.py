"""What a test's event loops are allowed, and what they were found to do."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from loopclinic.conflicts import CONFLICTS
from loopclinic.probe import Probe, Report, Stall, user_code
from loopclinic.review.running_loops import RunningLoops
from loopclinic.units import duration

__all__ = ["LoopProbe"]

_THRESHOLD = 0.05
_SHOWN = 5
_FRAMES = 8


class LoopProbe:
    """Every loop that runs while `listening()`, under one budget (seconds; None allows everything)."""

    def __init__(self, budget: float | None) -> None:
        self.budget = budget
        self._lock = threading.Lock()
        self._probes: dict[int, Probe] = {}  # by loop, those at work
        self._done: list[Report] = []
        self._hook = RunningLoops(self._begin, self._end)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Give each loop that begins to run a probe, until it ends or the block does."""
        try:
            with self._hook:
                yield
        finally:
            with self._lock:
                left = list(self._probes.values())  # in threads that outlive the test
                self._probes.clear()
            self._done += [probe.stop() for probe in left]

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """The stalls so far, those of loops that ended first."""
        with self._lock:
            running = list(self._probes.values())
        return tuple(
            stall
            for stalls in (*(one.stalls for one in self._done), *(one.stalls for one in running))
            for stall in stalls
        )

    def report(self) -> Report:
        """Return the running loop's report so far; outside of a loop, that of the last one.

        Raises:
            RuntimeError: no loop has run in this test.
        """
        loop = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises
        probe = self._probes.get(id(loop))
        if probe is not None:
            return probe.report()
        if not self._done:
            raise RuntimeError(
                "No event loop has run in this test: ask after it has, or within it."
            )
        return self._done[-1]

    def complaint(self) -> str | None:
        """Return what is to be said of a test that passed its budget, or None if it kept it."""
        if self.budget is None:
            return None
        over = [stall for stall in self.stalls if stall.seconds > self.budget]
        if not over:
            return None
        over.sort(key=lambda stall: -stall.seconds)
        worst, budget = duration(over[0].seconds), duration(self.budget)
        lines = [f"the event loop was stuck for {worst}, over its budget of {budget}"]
        for stall in over[:_SHOWN]:
            lines += _told(stall)
        if len(over) > _SHOWN:
            lines.append(f"  and {len(over) - _SHOWN} more stalls over the budget")
        return "\n".join(lines)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if id(loop) in self._probes:
                return
        threshold = min(_THRESHOLD, self.budget or _THRESHOLD)
        probe = Probe(loop=loop, threshold=threshold).start()
        with self._lock:
            self._probes[id(loop)] = probe

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        # At once, and not when the loop is closed: what passes meanwhile is nobody's stall.
        with self._lock:
            probe = self._probes.pop(id(loop), None)
        if probe is not None:
            report = probe.stop()
            with self._lock:
                self._done.append(report)


def _told(stall: Stall) -> list[str]:
    place = f"{stall.file}:{stall.line}" if stall.file is not None else stall.where
    lines = [f"{place}: {duration(stall.seconds)}"]
    if stall.code:
        lines.append(f">   {stall.code}")
    sentence = getattr(stall, "diagnosis", None)
    if sentence is None and stall.conflict in CONFLICTS:
        sentence = CONFLICTS[stall.conflict].sentence
    if sentence:
        lines.append(f"E   {stall.conflict}: {sentence}" if stall.conflict else f"E   {sentence}")
    mine = [frame for frame in stall.stack if user_code(frame.file)][:-1]
    lines += [f"    from {one.file}:{one.line} in {one.function}" for one in mine[-_FRAMES:]]
    return lines
