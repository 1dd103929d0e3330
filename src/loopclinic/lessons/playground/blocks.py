"""Four calls that block the playground's loop: sleep, SQL query, Python computation, C call that keeps the GIL."""

import itertools
import queue
import time
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

_connections: "queue.SimpleQueue[psycopg.Connection[Any]]" = queue.SimpleQueue()
_ROUNDS = 40_000


def sleep(seconds: float) -> None:
    """Wait, as a driver or an SDK does that knows no loop."""
    time.sleep(seconds)


def query(seconds: float, dsn: str) -> None:
    """Ask PostgreSQL something that takes it so long, by the synchronous driver."""
    import psycopg  # only this kind needs it

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


def pace(work: Any, rounds: int = _ROUNDS) -> float:
    """Return how many rounds of `compute` or `hold` this machine does in a second."""
    best = float("inf")
    for _ in itertools.repeat(None, 5):
        began = perf_counter()
        work(rounds)
        best = min(best, perf_counter() - began)
    return rounds / best
