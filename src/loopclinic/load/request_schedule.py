"""Schedule of a load: when each request is due, and what it carries."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from loopclinic.units import count


@dataclass(frozen=True)
class Load:
    """Requests that arrive on a schedule, whether or not earlier ones were answered: open-loop.

    A client that waits for an answer before it sends the next request is kind to a stuck server:
    it sends nothing just when it would have been slow, and its percentiles leave those requests
    out (coordinated omission; Gil Tene, "How NOT to Measure Latency"). So arrivals here are fixed
    beforehand, by a process that does nothing else, and latency counts from the moment a request
    was due: one that waited for a connection, or for the server to accept it, is charged for that.

    With `jobs`, a batch instead: so many requests, all due at time 0. Its figure is the makespan
    (seconds until the last answer); its latencies say when each was done, not how long one takes
    by itself, and `rate`, `seconds` and `arrivals` have no meaning.

    Args:
        rate: requests a second.
        seconds: how long requests arrive.
        arrivals: `poisson` (independent callers, bursts included) or `uniform` (evenly spaced).
        seed: of the arrivals; round r of a comparison uses `seed + r`, for every variant alike.
        timeout: seconds after which a request is given up; it counts with this latency.
        payloads: JSON values; request n carries `payloads[n % len(payloads)]`. A dict may hold
            `"group"`, a text by which latency is also reported.
        jobs: size of a batch.
        path: where requests go; of interest to web applications.
        method: `POST` with the payload as JSON, or `GET`.

    Raises:
        ValueError: a value makes no sense; the message names it.
    """

    rate: float = 100.0
    seconds: float = 3.0
    arrivals: Literal["poisson", "uniform"] = "poisson"
    seed: int = 0
    timeout: float = 30.0
    payloads: Sequence[Any] | None = None
    jobs: int | None = None
    path: str = "/"
    method: Literal["POST", "GET"] = "POST"

    def __post_init__(self) -> None:
        for name in ("rate", "seconds", "timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"Load({name}={getattr(self, name)!r}): must be above zero.")
        if self.arrivals not in {"poisson", "uniform"}:
            raise ValueError(f"Load(arrivals={self.arrivals!r}): either 'poisson' or 'uniform'.")
        if self.method not in {"POST", "GET"}:
            raise ValueError(f"Load(method={self.method!r}): either 'POST' or 'GET'.")
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"Load(jobs={self.jobs!r}): a batch has one job or more.")
        if self.payloads is not None:
            if not len(self.payloads):
                raise ValueError("Load(payloads=[]): give at least one payload, or None.")
            try:
                json.dumps(list(self.payloads))
            except (TypeError, ValueError) as error:
                raise ValueError(f"Load(payloads=...): not JSON values: {error}.") from None

    @property
    def span(self) -> float:
        """Seconds in which requests are due: 0 for a batch."""
        return 0.0 if self.jobs is not None else self.seconds

    def due(self, extra_seed: int = 0) -> list[float]:
        """Return the seconds, from the start, at which each request is due, in order."""
        if self.jobs is not None:
            return [0.0] * self.jobs
        if self.arrivals == "uniform":
            return [n / self.rate for n in range(max(1, round(self.rate * self.seconds)))]
        rng = Random(self.seed + extra_seed)  # noqa: S311 - arrivals, not secrets
        times = []
        now = rng.expovariate(self.rate)
        while now < self.seconds:
            times.append(now)
            now += rng.expovariate(self.rate)
        return times or [0.0]

    def payload(self, number: int) -> Any:
        """Return what request `number` carries, None where there are no payloads."""
        return None if self.payloads is None else self.payloads[number % len(self.payloads)]

    def group(self, number: int) -> str | None:
        """Return the group of request `number`, or None."""
        payload = self.payload(number)
        name = payload.get("group") if isinstance(payload, dict) else None
        return None if name is None else str(name)

    def order(self, port: int, extra_seed: int = 0) -> dict[str, Any]:
        """Return what the generator's process needs to know to play this load against a port."""
        payloads = [None] if self.payloads is None else list(self.payloads)
        return {
            "port": port,
            "path": self.path,
            "method": self.method,
            "timeout": self.timeout,
            "due": self.due(extra_seed),
            "bodies": [json.dumps(payload, ensure_ascii=False) for payload in payloads],
        }

    def __str__(self) -> str:
        if self.jobs is not None:
            return f"a batch of {count(self.jobs, 'job')}"
        return f"{self.rate:g} requests/s for {self.seconds:g} s, {self.arrivals.replace('p', 'P', 1)} arrivals"
