"""Handle of a faulty upstream, an HTTP server that fails on purpose: its settings and counts."""

import asyncio
import hashlib
import http.client
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self
from urllib.parse import urlsplit

from loopclinic.servers.server_process import ServerProcess

CONTROL = "/-/"
"""Paths below this one are the upstream's own: dials, counts, reset."""
SILENCE = b"silence"
"""How a clip begins in which nobody speaks: its text is empty."""
SECONDS = "X-Loopclinic-Seconds"
"""The header by which a request asks for an answer that takes so many seconds more."""

_WORDS = (
    *("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "haven"),
    *("inlet", "jetty", "knoll", "ledge", "marsh", "north", "ocean", "prism"),
)


@dataclass(frozen=True, slots=True)
class Dials:
    """What the upstream does to a request. Times in seconds, shares from 0 to 1.

    When several apply: refuse, hang, busy_first, capacity, only, status, fail_first, error_rate, in this order.
    """

    latency: float = 0.0
    """Before every answer except a 429."""
    jitter: float = 0.0
    """Added to `latency`, evenly spread from 0 to this."""
    error_rate: float = 0.0
    """Share of requests answered 503, by chance."""
    fail_first: int = 0
    """The first so many requests with the same body answer 503."""
    fail_share: float = 1.0
    """Share of distinct bodies that `fail_first` applies to; `is_flaky` says which."""
    refuse: float = 0.0
    """Share of requests whose connection is broken: reset, and closed without an answer, by turns."""
    capacity: int | None = None
    """Requests served at once; one more is answered 429 with `Retry-After`."""
    retry_after: float = 1.0
    queue: int = 0
    """Requests beyond `capacity` that wait for a place, in order, before one is answered 429."""
    fastest_at: int | None = None
    """Requests at work with which it gets most done; see `slowdown`. None: any number is as good."""
    overload: int | None = None
    """After so many 429 within a second, connections are reset instead."""
    slow: float = 0.0
    """Seconds more, beside `latency`..."""
    slow_for: str = ""
    """...where the body holds this text (empty: always)."""
    only: str = ""
    """Answer 404 to everything but this method and path, such as `POST /v1/posts` (empty: to nothing)."""
    hang: float = 0.0
    """Share of requests that are never answered."""
    hang_in_body_for: str = ""
    """What hangs has sent its headers, and sends its answer byte by byte without an end, where the body
    holds this text (empty: never)."""
    busy_first: int = 0
    """The first so many requests with the same body answer 429 with `Retry-After: 0`..."""
    busy_for: str = ""
    """...where the body holds this text (empty: always)."""
    status: int | None = None
    """Answer with this status instead of 200..."""
    status_for: str = ""
    """...where the body holds this text (empty: always)."""
    seed: int = 0
    """Of the chances above, drawn in order of arrival since the dials were set."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Build dials from JSON values; ValueError for a name or a value that no dial has."""
        names = [dial.name for dial in fields(cls)]
        for name, value in values.items():
            if name not in names:
                raise ValueError(f"no dial named {name!r}: the dials are {', '.join(names)}.")
            if name in {"error_rate", "fail_share", "refuse", "hang"} and not 0 <= value <= 1:
                raise ValueError(f"{name}={value!r}: a share lies between 0 and 1.")
            if name in {"latency", "jitter", "retry_after", "slow"} and value < 0:
                raise ValueError(f"{name}={value!r}: seconds, 0 or more.")
            if name == "fastest_at" and value is not None and value < 1:
                raise ValueError(f"{name}={value!r}: requests at work, 1 or more, or null.")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the upstream saw since it started or was reset.

    `arrivals` gives the seconds at which each body came, by `digest_of(body)` (the first 20,000
    bodies, 64 times each). A request is in flight from its headers to the end of its answer.
    """

    requests: int = 0
    by_status: Mapping[int, int] = field(default_factory=dict)
    in_flight: int = 0
    peak_in_flight: int = 0
    disconnects: int = 0
    """Clients that left before they were answered."""
    resets: int = 0
    """Connections reset by the dials `refuse` and `overload`."""
    seconds_in_flight: float = 0.0
    """Of all requests together; over a time, divided by it: the mean in flight (Little's law)."""
    timeline: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    """Status (0: reset) -> tick of 10 ms since the reset of counts -> answers given in it."""
    arrivals: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def arrivals_of(self, body: bytes) -> tuple[float, ...]:
        """Return when this body came, seconds since the reset: one entry an attempt."""
        return self.arrivals.get(digest_of(body), ())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Build counts from the upstream's JSON."""
        return cls(
            **{
                **values,
                "by_status": {int(code): n for code, n in values["by_status"].items()},
                "arrivals": {key: tuple(times) for key, times in values["arrivals"].items()},
                "timeline": {
                    int(code): {int(tick): n for tick, n in ticks.items()}
                    for code, ticks in values["timeline"].items()
                },
            }
        )


def slowdown(at_work: int, fastest_at: int | None) -> float:
    """Return how many times as long a request takes with so many `at_work` as alone.

    N. J. Gunther's Universal Scalability Law with its coherency term only: what n do together rises
    until n is `fastest_at`, and falls beyond it, as in a database whose sessions get in each
    other's way.
    """
    return 1.0 if fastest_at is None else 1 + at_work * (at_work - 1) / fastest_at**2


def digest_of(body: bytes) -> str:
    """Return the name by which the upstream knows a body: 16 hexadecimal digits of its SHA-256.

    A request without a body is known by the digest of its path and query.
    """
    return hashlib.sha256(body).hexdigest()[:16]


def is_flaky(body: bytes, fail_share: float) -> bool:
    """Return whether `fail_first` applies to this body: chosen by its digest, the same in every run."""
    return int(digest_of(body)[:8], 16) < fail_share * 2**32


def transcript_of(body: bytes) -> str:
    """Return the text that `POST /v1/transcribe` answers for this body: six words of its digest.

    It begins with a space, as Whisper's texts do, and is not plain ASCII.
    """
    if body.startswith(SILENCE):
        return ""
    digest = digest_of(body)
    return " café " + " ".join(_WORDS[int(digit, 16)] for digit in digest[9:14])


class Upstream:
    """A running upstream, by its address: turn its dials, read its counts.

    Each method has a synchronous twin that ends in `_now`. Errors: `OSError` when nothing
    listens there, `ValueError` for a dial that does not exist.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __repr__(self) -> str:
        return f"Upstream({self.url!r})"

    async def set(self, **dials: Any) -> Dials:
        """Turn these dials, leave the others; return them all."""
        return Dials(**await self._ask("dials", dials))

    async def counts(self) -> Counts:
        """Return what the upstream saw since it started or was reset."""
        return Counts.of(await self._ask("counts"))

    async def reset(self) -> None:
        """Put every dial back and every count to zero; requests in flight stay in flight."""
        await self._ask("reset", {})

    def set_now(self, **dials: Any) -> Dials:
        """Do as `set` does, synchronously."""
        return Dials(**self._ask_now("dials", dials))

    def counts_now(self) -> Counts:
        """Do as `counts` does, synchronously."""
        return Counts.of(self._ask_now("counts"))

    def reset_now(self) -> None:
        """Do as `reset` does, synchronously."""
        self._ask_now("reset", {})

    def _ask_now(self, what: str, body: Mapping[str, Any] | None = None) -> Any:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        try:
            payload = None if body is None else json.dumps(body).encode()
            connection.request("GET" if body is None else "POST", CONTROL + what, payload)
            answer = connection.getresponse()
            return _checked(answer.status, answer.read())
        finally:
            connection.close()

    async def _ask(self, what: str, body: Mapping[str, Any] | None = None) -> Any:
        # By hand: an HTTP client here would show up in the tasks and sessions that lessons count.
        address = urlsplit(self.url)
        payload = b"" if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        head = (
            f"{method} {CONTROL}{what} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
        )
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            try:
                writer.write(head.encode() + payload)
                raw = await reader.read()
            finally:
                writer.close()
        top, _, rest = raw.partition(b"\r\n\r\n")
        return _checked(int(top.split(b" ", 2)[1]), rest)


def _checked(status: int, body: bytes) -> Any:
    answer = json.loads(body)
    if status != http.HTTPStatus.OK:
        raise ValueError(answer["error"])
    return answer


class FaultyUpstream(ServerProcess):
    """Start an upstream in a process of its own: `with` or `async with` gives the `Upstream`.

    Arguments are its first dials. It answers any method on any path with
    `{"digest", "bytes", "served"}`, and `POST /v1/transcribe` with `"text"` beside them.
    """

    def __init__(self, **dials: Any) -> None:
        spec = asdict(Dials.of(dials))
        super().__init__("loopclinic.servers.upstream_server", spec, label="faulty upstream")

    def given(self) -> Upstream:
        """Return its handle."""
        return Upstream(self.address)
