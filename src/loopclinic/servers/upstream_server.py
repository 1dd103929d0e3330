"""Process of the faulty upstream: an aiohttp server that fails as its settings say, and counts."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import Counter, deque
from dataclasses import asdict
from random import Random
from typing import Any, NoReturn

from aiohttp import web

from loopclinic.servers import upstream
from loopclinic.servers.lifeline import ParentLink
from loopclinic.servers.resizable_limit import ResizableLimit

_BODIES_KEPT = 20_000
_ARRIVALS_KEPT = 64
_TICK = 0.01
_DRIBBLE = 0.05
_RESET = 0


class FaultyServer:
    """Answers requests as the dials say; counts what came, on the loop's own thread."""

    def __init__(self, dials: upstream.Dials) -> None:
        self.places = ResizableLimit(dials.capacity, time.monotonic)
        self.reset()
        self.turn(dials)
        self.in_flight = 0
        self.refusals: deque[float] = deque()

    def turn(self, dials: upstream.Dials) -> None:
        """Set the dials, and draw from their seed anew."""
        self.dials = dials
        self.rng = Random(dials.seed)  # noqa: S311 - faults on a dial, not secrets
        self.places.resize(dials.capacity)

    def reset(self) -> None:
        """Reset all counters."""
        self.began = time.monotonic()
        self.requests = self.disconnects = self.resets = self.served = 0
        self.peak = getattr(self, "in_flight", 0)
        self.by_status: Counter[int] = Counter()
        self.arrivals: dict[str, list[float]] = {}
        self.attempts: Counter[str] = Counter()
        self.seconds = 0.0
        self.timeline: dict[int, Counter[int]] = {}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request as the dials say."""
        if request.path.startswith(upstream.CONTROL):
            return await self._control(request)
        entered = time.monotonic()
        arrived = entered - self.began
        self.requests += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            body = await request.content.read()
            answer = await self._answer(request, body, arrived)
        except asyncio.CancelledError:
            self.disconnects += 1
            raise
        finally:
            self.in_flight -= 1
            # What came before a reset of the counts counts from the reset.
            self.seconds += time.monotonic() - max(entered, self.began)
        self.by_status[answer.status] += 1
        self._mark(answer.status)
        return answer

    def _mark(self, status: int) -> None:
        tick = int((time.monotonic() - self.began) / _TICK)
        self.timeline.setdefault(status, Counter())[tick] += 1

    async def _answer(self, request: web.BaseRequest, body: bytes, arrived: float) -> web.Response:
        dials, rng = self.dials, self.rng
        key = body or request.path_qs.encode()
        digest = upstream.digest_of(key)
        self.attempts[digest] += 1
        attempt = self.attempts[digest]
        if digest in self.arrivals or len(self.arrivals) < _BODIES_KEPT:
            times = self.arrivals.setdefault(digest, [])
            if len(times) < _ARRIVALS_KEPT:
                times.append(round(arrived, 6))
        # All chances are drawn before the first await: arrivals alone decide their order.
        refused, hangs, unlucky, spread = (rng.random() for _ in range(4))
        if refused < dials.refuse:
            await self._reset(request)
        if hangs < dials.hang:
            if dials.hang_in_body_for and dials.hang_in_body_for.encode() in body:
                begun = web.StreamResponse(headers={"Content-Length": "1000000"})
                await begun.prepare(request)
                await begun.write(b'{"text": "')
                while True:
                    await asyncio.sleep(_DRIBBLE)
                    await begun.write(b".")
            await asyncio.Event().wait()
        if attempt <= dials.busy_first and dials.busy_for.encode() in body:
            return _said(429, {"error": "busy", "digest": digest}, {"Retry-After": "0"})
        if dials.capacity is not None and self.in_flight > dials.capacity + dials.queue:
            if self._pressed():
                await self._reset(request)
            wait = f"{dials.retry_after:g}"
            return _said(429, {"error": "at capacity", "digest": digest}, {"Retry-After": wait})
        delay = (
            dials.latency + spread * dials.jitter + float(request.headers.get(upstream.SECONDS, 0))
        )
        if dials.slow_for.encode() in body:
            delay += dials.slow
        async with self.places:
            if delay > 0:
                await asyncio.sleep(delay * upstream.slowdown(self.places.held, dials.fastest_at))
        if dials.only and f"{request.method} {request.path}" != dials.only:
            return _said(404, {"error": f"{request.path} is not served", "digest": digest})
        if dials.status is not None and dials.status_for.encode() in body:
            return _said(dials.status, {"error": f"status {dials.status}", "digest": digest})
        if attempt <= dials.fail_first and upstream.is_flaky(key, dials.fail_share):
            return _said(503, {"error": f"attempt {attempt} fails", "digest": digest})
        if unlucky < dials.error_rate:
            return _said(503, {"error": "bad luck", "digest": digest})
        self.served += 1
        answer: dict[str, Any] = {"digest": digest, "bytes": len(body), "served": self.served}
        if request.method == "POST" and request.path == "/v1/transcribe":
            answer["text"] = upstream.transcript_of(body)
        return _said(200, answer)

    def _pressed(self) -> bool:
        """Note one more refusal; whether there were too many of them within a second."""
        if self.dials.overload is None:
            return False
        now = time.monotonic()
        self.refusals.append(now)
        while self.refusals[0] < now - 1.0:
            self.refusals.popleft()
        return len(self.refusals) > self.dials.overload

    async def _reset(self, request: web.BaseRequest) -> NoReturn:
        self.resets += 1
        self._mark(_RESET)
        _break_connection(request, orderly=self.resets % 2 == 0)
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async def _control(self, request: web.BaseRequest) -> web.Response:
        what = request.path.removeprefix(upstream.CONTROL)
        if what == "counts":
            return _said(200, self.counts())
        if what == "reset":
            self.reset()
            self.turn(upstream.Dials())
            return _said(200, {})
        if what == "dials":
            try:
                wanted = await request.json()
                self.turn(upstream.Dials.of({**asdict(self.dials), **wanted}))
            except (ValueError, TypeError) as error:
                return _said(400, {"error": str(error)})
            return _said(200, asdict(self.dials))
        return _said(404, {"error": f"{request.path}: only dials, counts and reset are here."})

    def counts(self) -> dict[str, Any]:
        """Return all counters since the last reset, ready for JSON."""
        return {
            "requests": self.requests,
            "by_status": {str(status): n for status, n in self.by_status.items()},
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak,
            # A reset of ours ends the handler as a client's leaving does.
            "disconnects": self.disconnects - self.resets,
            "resets": self.resets,
            "arrivals": self.arrivals,
            "seconds_in_flight": self.seconds,
            "timeline": self.timeline,
        }


def _said(status: int, value: Any, headers: dict[str, str] | None = None) -> web.Response:
    text = json.dumps(value, ensure_ascii=False)
    return web.json_response(text=text, status=status, headers=headers)


def _break_connection(request: web.BaseRequest, *, orderly: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if orderly:
        transport.close()
        return
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def main(link: ParentLink) -> None:
    """Serve until the parent is gone."""
    server = FaultyServer(upstream.Dials.of(link.spec))
    options: dict[str, Any] = {"handler_cancellation": True, "access_log": None}
    runner = web.ServerRunner(web.Server(server.handle, keepalive_timeout=3600, **options))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    host, port = runner.addresses[0][:2]
    link.ready(f"http://{host}:{port}")
    link.listen()
    await asyncio.Event().wait()
