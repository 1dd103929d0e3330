"""The playground in virtual time: its own callers, service and upstream on one loop that never waits.

Time, connections and threads are stood in for, and nothing else. What it shows depends on no machine:
it is the same in every run, and as exact as the time is long. Callers share the loop, so they come
late where it is blocked; their latency counts from when they were due.
"""

import asyncio
import selectors
from dataclasses import asdict, dataclass
from types import SimpleNamespace

from loopclinic.lessons.playground import blocks
from loopclinic.lessons.playground.forecast import default_threads
from loopclinic.lessons.playground.rig import dials
from loopclinic.lessons.playground.service import Service
from loopclinic.lessons.playground.stream import Stream
from loopclinic.lessons.playground.window import Window
from loopclinic.load.station import Station
from loopclinic.load.variant import Variant
from loopclinic.servers import upstream_server


class _Clock(selectors.SelectSelector):
    """Where a loop would wait until a timer is due, it is."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def select(self, timeout=None):
        assert timeout is not None, "no timer is left: nothing would ever happen again"
        self.now += timeout
        return []


class _End(asyncio.Transport):
    """One end of a connection: what is written arrives in the next iteration."""

    def __init__(self, loop, protocol):
        super().__init__()
        self.protocol, self.peer = protocol, None
        self._loop, self._open = loop, True

    def write(self, data):
        if self._open:
            self._loop.call_soon(self.peer.receive, bytes(data))

    def receive(self, data):
        if self._open:
            self.protocol.data_received(data)

    def is_closing(self):
        return not self._open

    def close(self):
        for end in (self, self.peer):
            if end._open:
                end._open = False
                self._loop.call_soon(end.protocol.connection_lost, None)

    abort = close

    def pause_reading(self):
        """Nothing here is long enough for it."""

    resume_reading = pause_reading


class VirtualLoop(asyncio.SelectorEventLoop):
    """A call that blocks takes the loop's time, or that of one of its workers."""

    def __init__(self):
        self._clock = _Clock()
        self._listening = {}
        self._workers = {}
        self._slept = None
        super().__init__(self._clock)

    def time(self):
        return self._clock.now

    def block(self, seconds):
        """Stand in for `time.sleep`."""
        if self._slept is None:
            self._clock.now += seconds
        else:
            self._slept += seconds

    async def run_in_executor(self, executor, func, *args):
        count = default_threads() if executor is None else executor._max_workers
        async with self._workers.setdefault(executor, asyncio.Semaphore(count)):
            self._slept = 0.0
            try:
                result = func(*args)
                slept = self._slept
            finally:
                self._slept = None
            await asyncio.sleep(slept)
            return result

    async def create_server(self, protocol_factory, host=None, port=None, **_):
        port = port or len(self._listening) + 1
        self._listening[port] = protocol_factory
        listener = SimpleNamespace(getsockname=lambda: (host, port))
        return SimpleNamespace(sockets=[listener], close=lambda: None)

    async def create_connection(self, protocol_factory, host=None, port=None, **_):
        here, there = _End(self, protocol_factory()), _End(self, self._listening[port]())
        here.peer, there.peer = there, here
        for end in (there, here):
            end.protocol.connection_made(end)
        return here, here.protocol


class _Link:
    """The upstream's: it takes its dials by it, and says where it listens."""

    def __init__(self, settings):
        self.spec = asdict(dials(settings))
        self.address = asyncio.get_running_loop().create_future()
        self.ready = self.address.set_result

    def listen(self):
        """Nobody calls."""


@dataclass
class Played:
    """What callers saw, and the service counted, in so many virtual seconds."""

    seconds: float
    moment: object
    first: dict
    last: dict

    def of(self, name, figure):
        return self.last[name][figure] - self.first[name][figure]


def play(monkeypatch, settings, seconds, *, before=5.0):
    """Play a position of the controls for so many seconds, once `before` are over."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        monkeypatch.setattr(blocks, "sleep", runner.get_loop().block)
        return runner.run(_play(settings, seconds, before))


async def _play(settings, seconds, before):
    link = _Link(settings)
    upstream = asyncio.create_task(upstream_server.main(link))
    service = Service(await link.address, settings)
    await service.turn(settings)
    async with Station(Variant(service.handle)) as station:
        stream = Stream(station.port, settings)
        await asyncio.sleep(before)
        stream.take()
        first = service.figures()
        await asyncio.sleep(seconds)
        window = Window(seconds)
        window.add(stream.take())
        last = service.figures()
        stream.close()
        await service.close()
    upstream.cancel()
    return Played(seconds, window.figures(), first, last)
