"""Real servers for lessons and checks, each in a process of its own that ends with its parent."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from loopclinic.servers.process import ServerError, ServerProcess
from loopclinic.servers.upstream import (
    Counts,
    Dials,
    FaultyUpstream,
    Upstream,
    digest_of,
    is_flaky,
    transcript_of,
)

__all__ = [
    "SERVICES",
    "Counts",
    "Dials",
    "FaultyUpstream",
    "ServerError",
    "ServerProcess",
    "Upstream",
    "digest_of",
    "is_flaky",
    "transcript_of",
]


@contextmanager
def _faulty_upstream() -> Iterator[str]:
    with FaultyUpstream() as upstream:
        yield upstream.url


@contextmanager
def _postgres() -> Iterator[str]:
    from loopclinic.servers.postgres import postgres  # noqa: PLC0415 - most lessons need none

    with postgres() as dsn:
        yield dsn


SERVICES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "faulty_upstream": _faulty_upstream,
    "postgres": _postgres,
}
"""What a lesson may ask for, by name: a context manager that gives the server's address."""
