"""Endless load: connections that it keeps open while nobody answers."""

import asyncio
import socket
import sys

import psutil
import pytest

from loopclinic.lessons.playground.endless_load import EndlessLoad
from loopclinic.lessons.playground.settings import Settings
from tests.lessons.playground.virtual import VirtualLoop


@pytest.mark.skipif(sys.platform == "win32", reason="counts file descriptors")
async def test_a_storm_on_a_service_that_accepts_nobody_keeps_no_sockets_of_the_past():
    """A stuck loop accepts nobody: its queue in the kernel is full, and connecting takes for ever."""
    process = psutil.Process()
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        settings = Settings(rate=200, timeout=0.05, retries=5)
        before = process.num_fds()
        stream = EndlessLoad(deaf.getsockname()[1], settings)
        try:
            async with asyncio.timeout(60):
                attempts = 0
                while attempts < 600:
                    await asyncio.sleep(0.1)
                    attempts += stream.take()["attempts"]
            kept, in_flight = process.num_fds() - before, stream.take()["in_flight"]
        finally:
            stream.close()
    # Each has one of its own, and at most one that closes in the next iteration.
    assert kept <= 2 * in_flight + 10, (kept, in_flight, attempts)


async def test_who_is_closed_while_connecting_leaves_nothing():
    """Closing ends what is under way: no task, no socket."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        stream = EndlessLoad(deaf.getsockname()[1], Settings(rate=200, timeout=5))
        await asyncio.sleep(0.5)
        assert len(asyncio.all_tasks()) > 1
        stream.close()
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.01)


def test_a_timer_that_fires_ahead_of_its_time_does_not_end_the_load():
    """As asyncio's may by the clock's resolution, which is 16 ms on some machines."""

    class Early(VirtualLoop):
        def call_at(self, when, callback, *args, context=None):
            return super().call_at(when - 0.001, callback, *args, context=context)

    async def load():
        await asyncio.get_running_loop().create_server(asyncio.Protocol, port=1)
        stream = EndlessLoad(1, Settings(rate=100, bursts=0))
        await asyncio.sleep(2.0)
        stream.close()
        return stream.take()["sent"]

    with asyncio.Runner(loop_factory=Early) as runner:
        assert runner.run(load()) == pytest.approx(200, abs=2)
