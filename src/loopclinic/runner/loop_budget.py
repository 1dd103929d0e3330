"""Stall budget of a test: what its event loops may do, and what they did."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from loopclinic.conflicts import CONFLICTS
from loopclinic.probe import Probe, Report, Stall, user_code
from loopclinic.probe.undisturbed import caller
from loopclinic.runner.running_loops import RunningLoops
from loopclinic.units import duration

_THRESHOLD = 0.05
_SHOWN = 5
_FRAMES = 8
_LINES = 5  # of one stall


class BackgroundLoops:
    """Knows which loops run in which thread, from `install` until `remove`: those of fixtures."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[asyncio.AbstractEventLoop, int]] = {}
        hook = RunningLoops(self._began, self._ended)
        self.install, self.remove = hook.install, hook.remove

    def elsewhere(self) -> list[asyncio.AbstractEventLoop]:
        """Return the loops that run in other threads now."""
        here = threading.get_ident()
        return [loop for loop, thread in list(self._running.values()) if thread != here]

    def _began(self, loop: asyncio.AbstractEventLoop) -> None:
        self._running[id(loop)] = loop, caller().thread

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        self._running.pop(id(loop), None)


class LoopProbe:
    """Every loop that runs while `listening()`, under one budget (seconds; None allows everything)."""

    def __init__(self, budget: float | None, background: BackgroundLoops | None = None) -> None:
        self.budget, self._background = budget, background
        self._lock = threading.Lock()
        self._probes: dict[int, Probe] = {}  # by loop, those at work
        self._done: list[Report] = []
        self._hook = RunningLoops(self._begin, self._end)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Give each loop that runs or begins to run a probe, until it ends or the block does."""
        try:
            with self._hook:
                for loop in self._background.elsewhere() if self._background is not None else ():
                    with contextlib.suppress(RuntimeError):  # it has been closed meanwhile
                        self._begin(loop)
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
            known: list[Report | Probe] = [*self._done, *self._probes.values()]
        return tuple(stall for one in known for stall in one.stalls)

    def report(self) -> Report:
        """Return the running loop's report so far, else that of the last one; RuntimeError if none has run."""
        loop = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises
        probe = self._probes.get(id(loop))
        if probe is not None:
            return probe.report()
        if not self._done:
            said = "No event loop has run in this test: ask after it has, or within it."
            raise RuntimeError(said)
        return self._done[-1]

    def complaint(self) -> str | None:
        """Return what is to be said of a test that passed its budget, or None if it kept it."""
        if self.budget is None:
            return None
        # What pytest and earlier tests keep is collected during some test: that is not its own time.
        over = [one for one in self.stalls if _own(one) > self.budget]
        if not over:
            return None
        over.sort(key=lambda one: -_own(one))
        worst, budget = duration(_own(over[0])), duration(self.budget)
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


def _own(stall: Stall) -> float:
    """Return the seconds of a stall that are the test's: without collections that it did not ask for."""
    return stall.seconds - stall.automatic_garbage


def _told(stall: Stall) -> list[str]:
    place = f"{stall.file}:{stall.line}" if stall.file is not None else stall.where
    told = f" ({stall.others})" if stall.others else ""
    lines = [f"{place}: {duration(stall.seconds)}{told}"]
    if stall.code:
        lines.append(f">   {stall.code}")
    if stall.automatic_garbage:
        not_its = duration(stall.automatic_garbage)
        what = "of it a garbage collection that the test did not call for: not counted"
        lines.append(f"    {not_its} {what}")
    if stall.others:
        lines += [
            f"    {duration(one.seconds)}, {one.share:.0%} at {one.file}:{one.line}  {one.code}".rstrip()
            for one in stall.lines[:_LINES]
        ]
    if stall.waiting is not None and stall.waiting.ready:
        lines.append(f"    {stall.waiting}")
    sentence = getattr(stall, "diagnosis", None)
    if sentence is None and stall.conflict in CONFLICTS:
        sentence = CONFLICTS[stall.conflict].sentence
    if sentence:
        lines.append(f"E   {stall.conflict}: {sentence}" if stall.conflict else f"E   {sentence}")
    mine = [frame for frame in stall.stack if user_code(frame.file)][:-1]
    lines += [f"    from {one.file}:{one.line} in {one.function}" for one in mine[-_FRAMES:]]
    return lines
