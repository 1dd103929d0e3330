"""Observer inside a watched process: puts a probe on every loop that runs, and sends what they find."""

import asyncio
import atexit
import contextlib
import os
import platform
import sys
import threading
from dataclasses import replace
from functools import partial
from itertools import takewhile
from time import perf_counter
from typing import TYPE_CHECKING, Any

from loopclinic.probe import Probe, Report, Snapshot, Stall
from loopclinic.probe.blocking_frames import call_index
from loopclinic.probe.census import waiting_for_a_connection
from loopclinic.probe.undisturbed import caller, undisturbed
from loopclinic.runner.running_loops import RunningLoops
from loopclinic.runner.socket_channel import Sender

if TYPE_CHECKING:
    from loopclinic.runner.parent_witness import Slots
    from loopclinic.timeline import Timeline

_LOOK = 0.1  # seconds between two looks at what happened
_TICK = 0.25  # seconds between two ticks of the live view
_REST = 0.5  # seconds between two ticks of a loop at rest
_REPORT = 1.0  # seconds between two reports, fewer at first: what is known if the program is killed
_LANES, _STEPS = 1000, 20_000  # of a loop's timeline
_POOLS = 0.5  # seconds between two looks at who waits for a connection
_PATIENCE = 1.0  # seconds after a stall in which word from outside may give or change its line


class Observer:
    """Gives each loop that runs a probe until it is closed, and tells of it by `sender`."""

    def __init__(
        self,
        sender: Sender,
        *,
        threshold: float,
        born: float,
        witness: bool,
        timeline: "type[Timeline] | None" = None,
    ) -> None:
        self._sender, self._timeline = sender, timeline
        self._threshold, self._born, self._witness = threshold, born, witness
        self._slots = self._own_slots()
        self._lock = threading.Lock()
        self._watches: dict[asyncio.AbstractEventLoop, _Watch] = {}
        self._count = 0
        self._forked = False

    def began(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch a loop that is about to run, unless it is watched already."""
        if not self._sender.open:
            return
        with self._lock:
            if loop in self._watches:
                self._watches[loop].resume()
                return
            util = sys.modules.get("multiprocessing.util")
            if self._forked and util is not None:  # its children end by os._exit, after finalizers
                self._forked = False
                util.Finalize(None, undisturbed, (self.close,), exitpriority=-100)
            self._count += 1
            number = self._count
        slots = self._slots
        join = partial(slots.join, number, self._born) if slots is not None else None
        seen = join is not None or (self._witness and slots is None)
        probe = Probe(loop=loop, threshold=self._threshold, witness=seen, _witness=join)
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        at = perf_counter() - self._born
        names = {one.ident: one.name for one in threading.enumerate()}
        thread = names.get(caller().thread, "")
        message = {"kind": "loop", "id": number, "type": kind, "thread": thread, "at": at}
        try:
            probe.start()
        except Exception as error:  # the program's loop runs, watched or not
            self._sender.send({**message, "unwatched": str(error)})
            return
        self._sender.send(message)
        timeline = None
        if self._timeline is not None:
            timeline = self._timeline(loop, probe=probe, lanes=_LANES, steps=_STEPS, live=False)
            timeline.start()
        watch = _Watch(number, probe, self._sender, at, timeline)
        with self._lock:
            self._watches[loop] = watch
        probe.subscribe(lambda: self._look(loop, watch), every=_LOOK)

    def ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep what is known of a loop that stopped: most are never run again."""
        watch = self._watches.get(loop)
        if watch is not None and self._sender.open:
            watch.keep()

    def close(self) -> None:
        """Send the last reports of all loops, and stop."""
        if not self._sender.open:
            return
        with self._lock:
            watches = list(self._watches.items())
            self._watches.clear()
        for loop, watch in watches:
            if loop.is_running():  # in a thread that outlives the program
                watch.keep()
            watch.finish()
        self._sender.send({"kind": "end", "at": perf_counter() - self._born})
        self._sender.close()

    def close_at_exit(self) -> None:
        """Close at the interpreter's end, where a signal's handler has nothing left that it could end."""
        with contextlib.suppress(BaseException):
            undisturbed(self.close)

    def forked(self) -> None:
        """Start anew in a forked child: the probes' threads stayed behind, and so did the witness."""
        self._lock = threading.Lock()  # a thread of the parent may have held it
        self._watches = {}
        self._count = 0
        self._slots = self._own_slots(self._slots.known if self._slots is not None else None)
        self._forked = True

    def _own_slots(self, known: str | None = None) -> "Slots | None":
        if not self._witness or sys.platform != "linux":
            return None
        from loopclinic.runner.parent_witness import Slots  # Linux only

        try:
            return Slots(self._threshold, self._sender.send, known)
        except OSError:
            return None

    def _look(self, loop: asyncio.AbstractEventLoop, watch: "_Watch") -> None:
        if not loop.is_closed():
            watch.tick()
            return
        with self._lock:  # until all is told: the program may end meanwhile
            mine = self._watches.pop(loop, None)
            if mine is not None:
                mine.finish()


class _Watch:
    """One loop's probe, and how much of what it found has been told."""

    def __init__(
        self,
        number: int,
        probe: Probe,
        sender: Sender,
        began: float,
        timeline: "Timeline | None" = None,
    ) -> None:
        self._timeline, self._traced = timeline, _REPORT
        self._number, self._probe, self._began = number, probe, began
        self._send = sender.send
        self._lock = threading.Lock()  # the loop's thread and the probe's own
        self._last: Snapshot = probe.snapshot()
        self._zero = self._ticked = perf_counter()
        self._told: dict[float, Stall] = {}  # by beginning: what was told and may still change
        self._newest = -1.0  # when the newest stall began that a tick has seen
        self._settled = -1.0  # when the newest stall began that will not change any more
        self._reported = self._looked = 0.0
        self._kept: Report | None = None

    def keep(self) -> None:
        """Keep and send the report of the moment the loop stops: what passes afterwards stalls nobody.

        The process may end by `os._exit` or a signal in the next moment.
        """
        if caller().loop is None:  # else another one runs in its callback
            self._probe.halt()
        # Its last iteration may be the stall: no other one follows that would book it.
        last, report = self._probe.current(), self._probe.report()
        if last is not None:
            report = replace(report, stalls=(*report.stalls, last))
        self._kept = report
        with self._lock:
            self._tell_stalls(report.stalls, report.seconds)
            self._tell_report(report, over=True)

    def tick(self) -> None:
        """Send what happened since the last tick, if it is due."""
        now, current = perf_counter(), self._probe.current()
        turned = self._probe.iterations != self._last.iterations
        stalls = self._probe.stalls
        with self._lock:
            if stalls:
                self._tell_stalls(stalls, now - self._zero)
            wait = _TICK if turned or current is not None else _REST
            news = bool(stalls) and stalls[-1].started > self._newest
            if now - self._ticked < wait - _LOOK / 2 and not news:
                return
            self._ticked = now
            self._newest = stalls[-1].started if stalls else -1.0
            snapshot = self._probe.snapshot()
            span, census = snapshot.since(self._last), self._probe.census()
            self._last = snapshot
            self._send(
                {
                    "kind": "tick",
                    "id": self._number,
                    "at": self._began + snapshot.at,
                    "lag": max(span.lag.max, current.seconds if current is not None else 0.0),
                    "utilization": span.utilization,
                    "tasks": census.tasks,
                    "requests": census.requests,
                    "queued": census.executor_queued,
                    "pooled": self._pooled(now),
                    "stall": self._stall(current) if current is not None else None,
                }
            )
            if news or snapshot.at - self._reported >= min(_REPORT, snapshot.at / 4):
                self._reported = snapshot.at
                self._tell_report(self._probe.report())
            if snapshot.at >= self._traced:  # seldom: it is long
                self._traced *= 2
                self._tell_timeline()

    def _pooled(self, now: float) -> int | None:
        loop = self._probe.loop
        if loop is None or now - self._looked < _POOLS:
            return None
        self._looked = now
        return waiting_for_a_connection(loop)

    def resume(self) -> None:
        """Go on with a loop that runs again."""
        self._probe.resume()

    def finish(self) -> None:
        """Stop the probe and tell the rest."""
        self._probe.stop()
        with self._lock:
            report = self._probe.report()
            if self._kept is not None:
                # It may know more of them now, and of none that began later.
                until = self._kept.seconds
                stalls = tuple(one for one in report.stalls if one.started < until)
                report = replace(self._kept, stalls=stalls)
            self._tell_stalls(report.stalls, float("inf"))
            self._tell_timeline()
            self._tell_report(report, over=True)

    def _tell_timeline(self) -> None:
        if self._timeline is not None:
            name = f"event loop {self._number} of process {os.getpid()}"
            trace = self._timeline.to_chrome(name, self._began)
            self._send({"kind": "timeline", "id": self._number, "timeline": trace})

    def _tell_stalls(self, stalls: tuple[Stall, ...], now: float) -> None:
        """Tell of stalls that are new, and again of those that word from outside has changed since."""
        recent = [*takewhile(lambda one: one.started > self._settled, reversed(stalls))]
        for stall in reversed(recent):
            late = now - stall.started - stall.seconds >= _PATIENCE
            told = self._told.get(stall.started)
            if told is None and stall.file is None and not late:
                break  # those after it wait with it, so that they stay in order
            if told != stall:
                kind = "stall" if told is None else "amended"
                self._send({"kind": kind, "id": self._number, "stall": self._stall(stall)})
                self._told[stall.started] = stall
            if late:
                self._settled = stall.started
                del self._told[stall.started]

    def _tell_report(self, report: Report, *, over: bool = False) -> None:
        figures = {name: value for name, value in report.to_dict().items() if name != "stalls"}
        self._send({"kind": "report", "id": self._number, "report": figures, "over": over})

    def _stall(self, stall: Stall) -> dict[str, Any]:
        """Return the stall with its beginning counted from the program's own."""
        return {**stall.to_dict(), "started": self._began + stall.started}


def observe(
    *,
    channel: dict[str, Any],
    threshold: float,
    born: float,
    children: bool,
    witness: bool,
    timeline: bool = False,
) -> None:
    """Watch every loop of this process from now to its end, and report by a channel.

    `channel` is what a `Sender` is made of. `born` is when the program began, by `perf_counter`, which
    all processes share. With `witness` the watcher reads which call holds the GIL; with `timeline` each
    loop's tasks are recorded, too.
    """
    record = None
    if timeline:
        from loopclinic.timeline import Timeline  # now: in the loop its import would be a stall

        record = Timeline
    call_index().grow()  # here, where no loop runs: it takes milliseconds, and the GIL
    sender = Sender(channel, _hello, children=children)
    sender.send({"kind": "begin"})
    observer = Observer(sender, threshold=threshold, born=born, witness=witness, timeline=record)
    RunningLoops(observer.began, observer.ended).install()
    atexit.register(observer.close_at_exit)
    if children and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=observer.forked)


def _hello() -> dict[str, Any]:
    return {"pid": os.getpid(), "command": sys.orig_argv, "python": platform.python_version()}
