"""Four ways to block a loop, as a review would let them pass; any process may run them."""

import itertools
import queue
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

__all__ = ["Pace", "close_connections", "compute", "hold", "query", "sleep"]

_connections: "queue.SimpleQueue[psycopg.Connection[Any]]" = queue.SimpleQueue()
_ROUNDS = 40_000


def sleep(seconds: float) -> None:
    """Wait, as a driver or an SDK does that knows no loop."""
    time.sleep(seconds)


def query(seconds: float, dsn: str) -> None:
    """Ask PostgreSQL something that takes it so long, by the synchronous driver."""
    import psycopg  # noqa: PLC0415 - only this kind needs it

    try:
        connection = _connections.get_nowait()
    except queue.Empty:
        connection = psycopg.connect(dsn, autocommit=True)
    connection.execute("SELECT pg_sleep(%s)", (seconds,))
    _connections.put(connection)


def compute(rounds: int) -> int:
    """Compute in pure Python: other threads get their turns, and it takes longer for them."""
    total = 0
    for number in range(rounds):
        total += number * number
    return total


def hold(rounds: int) -> int:
    """Compute in one C call that keeps the GIL: no other thread gets a turn until its end."""
    return sum(range(rounds))


def close_connections() -> None:
    """Close the idle connections of `query`."""
    while True:
        try:
            _connections.get_nowait().close()
        except queue.Empty:
            return


class Pace:
    """How much of `compute` and `hold` this machine does in a second, measured once."""

    def __init__(self) -> None:
        self.compute = _pace(compute, _ROUNDS)
        self.hold = _pace(hold, 4 * _ROUNDS)


def _pace(work: Any, rounds: int) -> float:
    best = float("inf")
    for _ in itertools.repeat(None, 5):
        began = time.perf_counter()
        work(rounds)
        best = min(best, time.perf_counter() - began)
    return rounds / best
