"""A variant of a comparison: what is served, which kind of target that is, and its setup."""

import inspect
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from loopclinic.import_path import LoadError, Reference

Target = Callable[["Request"], Awaitable[Any]] | str | Any
Setup = Callable[[], AbstractAsyncContextManager[Any]]

Form = Literal["handler", "aiohttp", "asgi", "wsgi", "factory"]

WSGI_THREADS = 8

FORMS: dict[str, str] = {
    "handler": "async callable",
    "aiohttp": "aiohttp application",
    "asgi": "ASGI application",
    "wsgi": f"WSGI application on {WSGI_THREADS} threads",
}
"""Form -> what it is called in a report. A factory is known by what it makes."""
_BY_ARGUMENTS: tuple[tuple[int, Form], ...] = ((1, "handler"), (2, "wsgi"), (3, "asgi"))


class Request(NamedTuple):
    """What a variant is called with."""

    number: int
    payload: Any
    state: Any = None
    """What the variant's `setup` gave."""


@dataclass(frozen=True)
class Variant:
    """One way to do a job, to be put under load.

    Args:
        target: an async callable `(request) -> response`; or an ASGI, WSGI or aiohttp application;
            or a function without arguments that makes one; or, in words, `"FILE.py:name"` or
            `"package.module:name"` of any of these.
        name: what tables and plots call it; the target's own name unless given.
        setup: a function without arguments that returns an async context manager; its value
            becomes `request.state`, once per server. Make sessions, pools and locks there.

    Raises:
        LoadError: the target is none of these.
    """

    host: ClassVar[str] = "loopclinic.load.serve"
    """What its process runs."""

    target: Target
    name: str = field(default="", kw_only=True)
    setup: Setup | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        target = self.target
        if isinstance(target, str):
            Reference.of(target)
        elif not callable(target):
            raise LoadError(
                f"{target!r} is no target: give an async function (request) -> response, an ASGI, "
                "WSGI or aiohttp application, or 'FILE.py:name' of one."
            )
        elif form_of(target) is None:
            raise LoadError(
                f"{name_of(target)} takes no request: write it as "
                f"'async def {name_of(target)}(request)'."
            )
        if self.setup is not None and not callable(self.setup):
            raise LoadError(
                f"setup={self.setup!r} can't be called: give a function without arguments, made "
                "with @contextlib.asynccontextmanager."
            )
        if not self.name:
            object.__setattr__(self, "name", name_of(target))

    def load(self) -> Any:
        """Return the target itself: of one in words, the file is run now. Errors are those of `Reference.load`."""
        return Reference.of(self.target).load() if isinstance(self.target, str) else self.target


def form_of(target: Any) -> Form | None:
    """Return the form of a target by its signature, or None where it has none of them.

    An ASGI application takes (scope, receive, send), a WSGI application (environ, start_response), a
    handler one request, a factory nothing.
    """
    web = sys.modules.get("aiohttp.web_app")
    if web is not None and isinstance(target, web.Application):
        return "aiohttp"
    if not callable(target):
        return None
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # a C function keeps its signature to itself
        return "handler"
    asynchronous = inspect.iscoroutinefunction(target)
    if not signature.parameters:
        return None if asynchronous else "factory"
    for count, form in _BY_ARGUMENTS:
        if form == "wsgi" and asynchronous:
            continue
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return form
    return None


def name_of(target: Any) -> str:
    """Return what a target is called where nobody names it."""
    if isinstance(target, str):
        place = Reference.of(target)
        home = place.file.stem if place.file is not None else place.module
        return f"{home}:{place.name}" if place.name else home
    inner = getattr(target, "func", target)  # of a partial
    return str(getattr(inner, "__name__", type(inner).__name__))
