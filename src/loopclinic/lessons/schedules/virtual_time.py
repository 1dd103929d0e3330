"""Event loop in virtual time: timers cost nothing, and the process's clocks follow the loop's.

Close to it are looptime, which does not know what executors' threads do, and async-solipsism, which has
no threads; neither moves the clocks that libraries for retries and circuit breakers read.
"""

import asyncio
import datetime as dt
import selectors
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from concurrent.futures import thread as pools
from contextlib import contextmanager
from contextvars import Context
from math import inf
from types import FrameType
from typing import Any, TypeVar, TypeVarTuple, Unpack

from loopclinic.lessons.core.shared_findings import Place, Stall
from loopclinic.lessons.core.stacks import stands_at, waits_at
from loopclinic.probe.frames import frames_of_others, locals_of
from loopclinic.probe.schedule import Schedule

_PRECISION = 0.001
"""Seconds by which the clock may be behind while work goes on that counts."""
_POLL = 0.005
"""Seconds between looks at what threads do."""
_QUANTUM = 2.0**-36
"""Seconds between two times that differ: sums are exact, so a schedule is the same at any time of day."""
_START = 1024.0
_EPOCH = 1_767_225_600.0
"""When virtual time begins: 1 January 2026, UTC."""

_WORKER = pools._worker.__code__  # noqa: SLF001 - it has no name in public
_WAIT = threading.Condition.wait.__code__
_JOINS = {
    function.__code__
    for name in ("join", "_wait_for_tstate_lock")
    if (function := getattr(threading.Thread, name, None)) is not None
}
_perf_counter, _sleep, _ident = time.perf_counter, time.sleep, threading.get_ident

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DeadlockError(RuntimeError):
    """Nothing can happen any more: no callback, no timer and no thread. Names the line of each task."""


class _Selector(selectors.DefaultSelector):
    """Leaves it to the loop how to wait."""

    def __init__(self, loop: "VirtualLoop") -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return self._loop.wait_for_events(super().select, timeout)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer as soon as nothing else is left to do.

    What really works, the loop itself, a call that blocks it or a thread, takes no virtual time if it
    takes `grace` seconds at most, else the time that it takes; waiting for a processor never counts (on
    Linux, whose scheduler tells). While a thread is at work the loop really waits. A thread is not at
    work if it waits for another one, or in the `time.sleep` of `virtual_clocks`, or is older than the
    loop. While a real connection is open, the clock follows real time. Run the loop in the thread that made it.
    """

    def __init__(self, grace: float = 0.1) -> None:
        self.stalls: list[Stall] = []
        """Calls of `time.sleep` on the loop, with the learner's line, in order."""
        self._grace = grace
        self._now = _START
        self._thread = _ident()
        self._schedule = Schedule()
        self._schedule.follow(threading.get_native_id())
        self._strangers = {*frames_of_others(), self._thread}
        self._queued: dict[object, object] = {}
        self._sleeps: dict[int, threading.Event] = {}
        self._workers: set[int] = set()
        self._turns = self._stalled = 0
        self._mark()
        self._events = _Selector(self)
        super().__init__(self._events)

    def time(self) -> float:
        """Return the virtual time, in seconds, from any thread."""
        if _ident() == self._thread and _perf_counter() - self._since > self._free:
            spent = self._spent() - self._began
            if spent > self._free:
                self._now = _rounded(self._now + spent)
                self._mark(min(self._free, _PRECISION))
        return self._now

    def owns_thread(self) -> bool:
        """Return whether the calling thread is the loop's, or has had a job of it."""
        return _ident() == self._thread or _ident() in self._workers

    def waited(self) -> float:
        """Return the real seconds for which the loop's thread has waited for a processor."""
        return self._schedule.read().waited

    def _spent(self) -> float:
        """Return the real seconds for which the loop's thread ran or was blocked."""
        return _perf_counter() - self.waited()

    def _mark(self, free: float | None = None) -> None:
        """Count what is really spent from here on, if it is more than `free` seconds, or than the grace."""
        self._since, self._began = _perf_counter(), self._spent()
        self._free = self._grace if free is None else free

    def _jump(self, seconds: float) -> None:
        self._now = _rounded(self._now + seconds)
        self._mark()

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a callback at a time on the clock's grid."""
        return super().call_at(_rounded(when), callback, *args, context=context)

    def wait_for_events(
        self, poll: Callable[[float], list[Any]], timeout: float | None
    ) -> list[Any]:
        """Return what is ready; if nothing is, wait for threads at work, else jump to the next timer.

        Raises:
            DeadlockError: there is no timer either.
        """
        self._turns += 1
        if (ready := poll(0)) or timeout == 0:
            return ready
        due = inf if timeout is None else self._now + timeout
        if connected := len(self._events.get_map()) > 1:
            self.time()  # so that nothing of it is lost, however often something arrives
        self._mark(0.0 if connected else None)
        while self._others_at_work():
            if (ready := poll(_POLL)) or self.time() >= due:
                return ready
        if ready := poll(0):  # of a thread that has just ended
            return ready
        if timeout is None:
            raise DeadlockError(self._waits())
        self._jump(due - self._now)
        return []

    def _others_at_work(self) -> bool:
        """Return whether something beside the loop may cause an event: a thread, or a real connection."""
        if len(self._events.get_map()) > 1:  # its own, by which threads wake it
            return True
        frames = frames_of_others()
        self._strangers &= frames.keys()
        named = (one for one in threading.enumerate() if one.name.startswith("loopclinic-"))
        ours = {one.ident for one in named} | self._strangers
        ours |= {one for one, woken in list(self._sleeps.items()) if not woken.is_set()}
        return any(self._at_work(frames[one], frames) for one in frames.keys() - ours)

    def _at_work(self, frame: FrameType, frames: Mapping[int, FrameType]) -> bool:
        """Return whether a thread with this innermost frame does something and waits for no other."""
        code, names = frame.f_code, ("self", "executor_reference", "waiter", "timeout")
        one, pool, waiter, timeout = locals_of(frame, *names)  # None of a frame that was left since
        if code is _WORKER and pool:  # without a job; unless one is on its way, or the thread ends
            pool = pool()
            return pool is None or pool._shutdown or pool in list(self._queued.values())  # noqa: SLF001
        if code is _WAIT and one and timeout is None:
            return waiter not in one._waiters  # noqa: SLF001 - woken: no longer in it
        return code not in _JOINS or not one or one.ident not in {*frames, self._thread}

    def _waits(self) -> str:
        lines = ["Nothing can happen any more: no timer and no running thread is left."]
        for task in asyncio.all_tasks(self):
            place = waits_at(task)
            where = f"{place.file}, line {place.line}: {place.code}" if place else "unknown line"
            lines.append(f"{task.get_name()} waits at {where}")
        return "\n  ".join(lines)

    def run_in_executor(  # type: ignore[override]  # typeshed: as a generic of its own
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Run it on a thread; until a thread has taken it, it is known to be on its way."""
        token = object()

        def job() -> Any:
            self._queued.pop(token, None)
            self._workers.add(_ident())
            return func(*args)

        self._queued[token] = None
        future = super().run_in_executor(executor, job)
        if token in self._queued:
            self._queued[token] = executor or self._default_executor  # type: ignore[attr-defined]
        future.add_done_callback(lambda _: self._queued.pop(token, None))
        return future

    def sleep(self, seconds: float) -> None:
        """Block for so many virtual seconds: a stall if the loop's thread asks, with its line.

        Raises:
            ValueError: it is negative.
        """
        if _ident() != self._thread:
            woken = threading.Event()
            self.call_soon_threadsafe(self.call_later, seconds, woken.set)
            self._sleeps[_ident()] = woken
            # In real time at the latest: the loop may be waiting for this thread.
            woken.wait(seconds)
            del self._sleeps[_ident()]
            return
        if seconds <= 0:
            _sleep(seconds)
            return
        self._jump(seconds)
        place = stands_at(sys._getframe()) or Place("", 0)  # noqa: SLF001 - documented
        # What one iteration sleeps at a line is one stall.
        if self.stalls and self._stalled == self._turns and self.stalls[-1].place == place:
            seconds += self.stalls.pop().seconds
        self._stalled = self._turns
        self.stalls.append(Stall(place, seconds, "blocking-sleep"))


def _rounded(when: float) -> float:
    return round(when / _QUANTUM) * _QUANTUM


@contextmanager
def virtual_clocks(loop: VirtualLoop, *, everywhere: bool = True) -> Iterator[None]:
    """Let `time` and `datetime` follow the loop's clock, and `time.sleep` wait in virtual time.

    Code that took a function or class out of these modules before keeps the real one. So does every
    thread but the loop's own and those of its executors, where `everywhere` is false. What was taken
    meanwhile, as by an import, follows the real clock afterwards.
    """
    ended = False

    def chosen(virtual: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            ours = not ended and (everywhere or loop.owns_thread())
            return virtual(*args) if ours else real(*args)

        return call

    wall = chosen(lambda: _EPOCH - _START + loop.time(), time.time)

    class Kind(type):
        def __instancecheck__(cls, one: object) -> bool:
            return isinstance(one, cls.__mro__[1])

        def __subclasscheck__(cls, one: type) -> bool:
            return issubclass(one, cls.__mro__[1])

    class VirtualDatetime(dt.datetime, metaclass=Kind):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return cls.fromtimestamp(wall(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.fromtimestamp(wall(), dt.UTC).replace(tzinfo=None)

    class VirtualDate(dt.date, metaclass=Kind):
        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(wall())

    def nanoseconds(clock: Callable[[], float]) -> Callable[[], int]:
        return lambda: round(clock() * 1e9)

    replaced: list[tuple[Any, str, Any]] = [
        (time, "sleep", chosen(loop.sleep, _sleep)),
        (dt, "datetime", VirtualDatetime),
        (dt, "date", VirtualDate),
    ]
    for name in ("time", "monotonic", "perf_counter"):
        clock = wall if name == "time" else chosen(loop.time, getattr(time, name))
        replaced += [(time, name, clock), (time, f"{name}_ns", nanoseconds(clock))]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    try:
        for owner, name, value in replaced:
            setattr(owner, name, value)
        yield
    finally:
        ended = True
        for owner, name, value in kept:
            setattr(owner, name, value)
