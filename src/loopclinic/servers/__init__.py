"""Real servers for lessons and checks, each in a process of its own that ends with its parent."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib import import_module

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
def _server_of(name: str) -> Iterator[str]:
    module = import_module(f"loopclinic.servers.{name}")  # now: most lessons need none
    with getattr(module, name)() as url:
        yield url


SERVICES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "faulty_upstream": _faulty_upstream,
    **{name: partial(_server_of, name) for name in ("postgres", "s3", "valkey")},
}
"""What a lesson may ask for, by name: a context manager that gives the server's address."""
