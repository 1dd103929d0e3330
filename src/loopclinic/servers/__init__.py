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


SERVICES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "faulty_upstream": _faulty_upstream,
}
"""What a lesson may ask for, by name: a context manager that gives the server's address."""
