"""Real servers for lessons and checks, each in a process of its own that ends with its parent."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from loopclinic.servers.server_process import ServerError, ServerProcess
from loopclinic.servers.upstream import (
    SILENCE,
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
    "SILENCE",
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
    from loopclinic.servers.postgres import postgres  # most lessons need none

    with postgres() as dsn:
        yield dsn


@contextmanager
def _s3() -> Iterator[str]:
    from loopclinic.servers.s3 import s3  # likewise

    with s3() as url:
        yield url


@contextmanager
def _valkey() -> Iterator[str]:
    from loopclinic.servers.valkey import valkey  # likewise

    with valkey() as url:
        yield url


SERVICES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "faulty_upstream": _faulty_upstream,
    "postgres": _postgres,
    "s3": _s3,
    "valkey": _valkey,
}
"""What a lesson may ask for, by name: a context manager that gives the server's address."""
