"""Starts a private S3 server with a key, or uses S3_URL; it ends when its owner ends.

S3_URL comes first; else moto's S3 behind waitress, on 127.0.0.1, which keeps objects in memory and
answers only those who have its key. Its import takes seconds: start it early.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from loopclinic.servers.lifeline import ParentLink
from loopclinic.servers.server_process import ServerProcess

if TYPE_CHECKING:
    from minio import Minio

VARIABLE = "S3_URL"
"""The environment variable with the address of a server of the user's, which is used instead."""
REGION = "eu-central-1"
"""Any but us-east-1, where a bucket that is made a second time is no error."""
_HOST = "127.0.0.1"
_THREADS = 64
_STARTS = 60.0
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Another key has this server.</Message></Error>"


@contextmanager
def s3() -> Iterator[str]:
    """Give the address of an S3 server, `http://KEY:SECRET@HOST:PORT`: that in S3_URL, or a new one's.

    ServerError if that does not start.
    """
    if url := os.environ.get(VARIABLE, "").strip():
        yield url
        return
    spec = {"key": secrets.token_hex(10), "secret": secrets.token_hex(20)}
    with ServerProcess(__name__, spec, label="s3", start_timeout=_STARTS) as server:
        yield f"http://{spec['key']}:{spec['secret']}@{server.address}"


def access(url: str) -> dict[str, Any]:
    """Return the arguments of `Minio` for this address."""
    parts = urlsplit(url)
    return {
        "endpoint": parts.netloc.rpartition("@")[2],
        "access_key": unquote(parts.username or ""),
        "secret_key": unquote(parts.password or ""),
        "secure": parts.scheme == "https",
        "region": REGION,
    }


def remove(client: "Minio", bucket: str) -> None:
    """Remove a bucket with what it holds, if there is one."""
    if client.bucket_exists(bucket):
        for one in client.list_objects(bucket, recursive=True):
            client.remove_object(bucket, str(one.object_name))
        client.remove_bucket(bucket)


def main(link: ParentLink) -> None:
    """Serve until the owner ends; report host and port."""
    from moto.moto_server.werkzeug_app import create_backend_app
    from waitress.server import create_server  # type: ignore[import-untyped]

    app, key = create_backend_app("s3"), f"Credential={link.spec['key']}/"

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if key in environ.get("HTTP_AUTHORIZATION", ""):
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/xml")])
        return [_DENIED]

    server = create_server(guarded, host=_HOST, port=0, threads=_THREADS, connection_limit=1000)
    link.ready(f"{_HOST}:{server.effective_port}")
    link.listen()
    server.run()
