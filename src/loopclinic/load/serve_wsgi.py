"""Serves a WSGI application on aiohttp's server, with a pool of threads."""

import asyncio
import io
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from loopclinic.load.variant import WSGI_THREADS

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiHost:
    """Answers each request on one of its threads; the loop only carries bytes."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(WSGI_THREADS, thread_name_prefix="wsgi")

    async def answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        """Serve one request. What the application raises passes through."""
        environ = _environ(incoming, await incoming.content.read())
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._call, environ)

    def close(self) -> None:
        """Close the thread pool; threads at work end with their request."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _call(self, environ: dict[str, Any]) -> web.Response:
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        body = io.BytesIO()

        def start_response(
            status: str, headers: list[tuple[str, str]], error: Any = None
        ) -> Callable[[bytes], Any]:
            del error  # nothing was sent yet, so a second call may replace the first
            begun[:] = [(status, headers)]
            return body.write

        parts = self._application(environ, start_response)
        try:
            for part in parts:
                body.write(part)
        finally:
            close = getattr(parts, "close", None)
            if callable(close):
                close()
        if not begun:
            raise RuntimeError("the WSGI application never called start_response()")
        (status, headers) = begun[0]
        response = web.Response(status=int(status.split(" ", 1)[0]), body=body.getvalue())
        for name, value in headers:
            if name.lower() == "content-type":
                response.headers[name] = value
            elif name.lower() != "content-length":
                response.headers.add(name, value)
        return response


def _environ(incoming: web.BaseRequest, body: bytes) -> dict[str, Any]:
    """Return what PEP 3333 asks for."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": incoming.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": incoming.path.encode("utf-8").decode("latin-1"),
        "QUERY_STRING": incoming.rel_url.raw_query_string,
        "CONTENT_TYPE": incoming.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(incoming.url.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in incoming.headers.items():
        key = "HTTP_" + name.upper().replace("-", "_")
        if key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
