"""The playground in virtual time: its own callers, service and upstream on one loop that never waits.

Time and connections are stood in for, and nothing else. What it shows depends on no machine, and is as
exact as the time is long. Callers share the loop, so they come
late where it is blocked; their latency counts from when they were due.
"""

import asyncio
from dataclasses import asdict, dataclass
from types import SimpleNamespace

from loopclinic.lessons.playground.endless_load import EndlessLoad
from loopclinic.lessons.playground.live_figures import RecentCalls
from loopclinic.lessons.playground.processes import dials
from loopclinic.lessons.playground.service import Service
from loopclinic.lessons.schedules import virtual_time
from loopclinic.lessons.schedules.virtual_time import virtual_clocks
from loopclinic.load.serve import LocalServer
from loopclinic.load.variant import Variant
from loopclinic.servers import upstream_server


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
        """Do nothing: no message is long enough for it."""

    resume_reading = pause_reading


class VirtualLoop(virtual_time.VirtualLoop):
    """Serves and connects in memory. A call that blocks takes the loop's time, or that of a thread."""

    def __init__(self):
        self._listening = {}
        super().__init__()

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
        """Do nothing: nobody connects."""


@dataclass
class Played:
    """What callers saw, and the service counted, in so many virtual seconds."""

    seconds: float
    moment: object
    first: dict
    last: dict

    def of(self, name, figure):
        return self.last[name][figure] - self.first[name][figure]


def play(settings, seconds, *, before=5.0):
    """Play a position of the controls for so many seconds, once `before` are over."""
    loop = VirtualLoop()
    with virtual_clocks(loop), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_play(settings, seconds, before))


async def _play(settings, seconds, before):
    link = _Link(settings)
    upstream = asyncio.create_task(upstream_server.main(link))
    service = Service(await link.address, settings)
    await service.turn(settings)
    async with LocalServer(Variant(service.handle)) as server:
        stream = EndlessLoad(server.port, settings)
        await asyncio.sleep(before)
        stream.take()
        first = service.figures()
        await asyncio.sleep(seconds)
        window = RecentCalls(seconds)
        window.add(stream.take())
        last = service.figures()
        stream.close()
        await service.close()
    upstream.cancel()
    return Played(seconds, window.figures(), first, last)
