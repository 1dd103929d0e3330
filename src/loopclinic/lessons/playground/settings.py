"""Settings of the playground, with validation: load, work per request, remedy for blocking, limits."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from loopclinic.units import duration

KINDS: dict[str, str] = {
    "sleep": "sleep",
    "query": "sync query",
    "cpu": "Python at work",
    "gil": "C call that keeps the GIL",
}
"""How a request blocks: the name, and the words on the control."""
REMEDIES: dict[str, str] = {
    "none": "none",
    "thread": "default thread pool",
    "sized": "sized executor",
    "process": "process pool",
    "native": "native async",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """One position of all controls. Times in seconds, shares from 0 to 1.

    Raises:
        ValueError: a value makes no sense; the message names it.
    """

    rate: float = 100.0
    """Requests a second."""
    bursts: int = 1
    """Variance over mean of the arrivals' counts: 0 evenly spaced, 1 Poisson, n bursts of n."""
    service: float = 0.02
    """Mean of what a request needs of the upstream."""
    spread: float = 0.3
    """Standard deviation over mean of that: 0 always the same, 1 exponential."""
    share: float = 0.0
    """Of the requests, how many also block."""
    block: float = 0.1
    """How long one of them blocks."""
    how: str = "sleep"
    remedy: str = "none"
    threads: int = 8
    """Of the sized executor, or processes of the process pool."""
    limit: int | None = None
    """Requests that the service works on at once; the others wait in order."""
    pool: int = 32
    """Connections to the upstream."""
    capacity: int = 32
    """Requests that the upstream works on at once. As many again may wait there; more are refused."""
    fastest_at: int | None = None
    """Requests with which the upstream gets most done; more get into each other's way."""
    timeout: float = 2.0
    """After which a caller gives an attempt up; the service does not notice that it left."""
    retries: int = 0
    """Further attempts of a request that failed, each made at once."""

    def __post_init__(self) -> None:
        above = ("rate", "service", "block", "timeout", "threads", "pool", "capacity")
        for names, right, said in (
            (above, lambda it: it > 0, "must be above zero"),
            (("bursts", "spread", "retries"), lambda it: it >= 0, "0 or more"),
            (("share",), lambda it: 0 <= it <= 1, "a share lies between 0 and 1"),
            (("limit",), lambda it: it is None or it >= 1, "one or more, or None for no limit"),
            (("fastest_at",), lambda it: it is None or it >= 1, "one or more, or None"),
            (("how",), KINDS.__contains__, f"one of {', '.join(KINDS)}"),
            (("remedy",), REMEDIES.__contains__, f"one of {', '.join(REMEDIES)}"),
        ):
            for name in names:
                if not right(value := getattr(self, name)):
                    raise ValueError(f"Settings({name}={value!r}): {said}.")

    @property
    def places(self) -> int:
        """Requests that can be worked on at once: the narrowest of limit, pool and upstream."""
        return min(self.pool, self.capacity, self.limit or self.pool)

    def but(self, **changes: Any) -> Self:
        """Return these settings with some changed."""
        return replace(self, **changes)

    def changes(self, later: "Settings") -> dict[str, Any]:
        """Return what `later` has changed, by name."""
        return {
            one.name: getattr(later, one.name)
            for one in fields(self)
            if getattr(later, one.name) != getattr(self, one.name)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Build settings from JSON values.

        Raises:
            ValueError: a name or a value that no control has.
        """
        known = {one.name for one in fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(f"no control named {', '.join(sorted(unknown))}.")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"not the values of controls: {error}.") from None


def default_threads() -> int:
    """Return how many threads asyncio's default executor has at most."""
    return min(32, (os.cpu_count() or 1) + 4)


def in_words(changes: Mapping[str, Any]) -> str:
    """Return changed settings in words, short enough to stand in a plot."""
    return ", ".join(_status(name, value) for name, value in changes.items())


def _status(name: str, value: Any) -> str:
    match name:
        case "rate":
            return f"{value:g}/s"
        case "bursts":
            return {0: "evenly spaced", 1: "Poisson"}.get(value, f"bursts of {value}")
        case "service" | "block" | "timeout":
            return f"{'blocks' if name == 'block' else name} {duration(value)}"
        case "spread":
            return f"spread {value:g}"
        case "share":
            return f"{100 * value:.3g} % block"
        case "how":
            return KINDS[value]
        case "remedy":
            return "no remedy" if value == "none" else REMEDIES[value]
        case "limit":
            return "no limit" if value is None else f"limit {value}"
        case "fastest_at":
            return f"upstream best at {value or 'any number'}"
    return f"{name} {value}"
