"""TCP proxy that adds latency in front of a server."""

import asyncio
import contextlib
import threading
from urllib.parse import urlsplit, urlunsplit

_START = 10.0


class SlowLine:
    """`with SlowLine(dsn, there_and_back=0.08) as slow_dsn:` adds so many seconds to a round trip.

    The thread keeps the line going while the caller's own loop is stuck.
    """

    def __init__(self, dsn: str, *, there_and_back: float) -> None:
        parts = urlsplit(dsn)
        self.delay = there_and_back / 2  # may be changed meanwhile
        self._parts = parts
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._over: asyncio.Event | None = None
        self._port = 0
        self._failed: BaseException | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name="slow-line", daemon=True)

    @property
    def dsn(self) -> str:
        """The server's address by way of this line."""
        user, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{self._port}"))

    def __enter__(self) -> str:
        self._thread.start()
        if not self._ready.wait(_START):
            raise TimeoutError(f"The slow line was not there within {_START:g} s.")
        if self._failed is not None:
            raise self._failed
        return self.dsn

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._over is not None:
            with contextlib.suppress(RuntimeError):  # it ended by itself
                self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_START)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failed = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        open_lines: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = asyncio.create_task(self._line(reader, writer))
            open_lines.add(line)
            line.add_done_callback(open_lines.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        for line in open_lines:
            line.cancel()
        await asyncio.gather(*open_lines, return_exceptions=True)
        for end in self._ends:
            end.transport.abort()  # close() would wait for what nobody reads any more
        await asyncio.sleep(0)

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._ends.add(far_writer)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, far_writer))
                both.create_task(self._pass(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward data `delay` seconds after it came, as a long cable would."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        clock = asyncio.get_running_loop().time

        async def arrive() -> None:
            while True:
                due, data = await on_the_way.get()
                await asyncio.sleep(due - clock())
                if not data:
                    break
                with contextlib.suppress(OSError):
                    writer.write(data)
                    await writer.drain()
            with contextlib.suppress(OSError, RuntimeError):
                writer.write_eof()

        arriving = asyncio.create_task(arrive())
        try:
            data = b"more"
            while data:
                try:
                    data = await reader.read(65536)
                except OSError:
                    data = b""
                on_the_way.put_nowait((clock() + self.delay, data))
            await arriving
        finally:
            arriving.cancel()
