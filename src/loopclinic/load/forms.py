"""What a target is: a handler, or a web application of one of three kinds, or what makes one."""

import inspect
import sys
from typing import Any, Literal

__all__ = ["FORMS", "WSGI_THREADS", "Form", "form_of"]

Form = Literal["handler", "aiohttp", "asgi", "wsgi", "factory"]

WSGI_THREADS = 8

FORMS: dict[str, str] = {
    "handler": "async callable",
    "aiohttp": "aiohttp application",
    "asgi": "ASGI application",
    "wsgi": f"WSGI application on {WSGI_THREADS} threads",
}
"""Form -> what it is called in a report. A factory is known by what it makes."""


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


_BY_ARGUMENTS: tuple[tuple[int, Form], ...] = ((1, "handler"), (2, "wsgi"), (3, "asgi"))
