"""Waits for a check's turn in the queue of a room, where LOOPCLINIC_QUEUE names one.

The queue is a service of JupyterHub (deploy/jupyterhub/check_queue.py). It answers a POST with JSON lines:
`{"ahead": 3}` while others are before this check, then `{"turn": 75}`. A turn ends with its connection.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from loopclinic.units import count

VARIABLE = "LOOPCLINIC_QUEUE"
"""The environment variable with the address of the queue."""

_SILENCE = 15.0
"""Seconds; the queue says something every second."""
_NOW = "This check runs at once, whatever else runs: a busy machine may leave it without a verdict."


Say = Callable[[str], None]
Stop = Callable[[], bool]


@contextmanager
def turn(say: Say, on_step: Say | None, stop: Stop | None) -> Iterator[str]:
    """Wait for this check's turn and hold it; give why it may not run, empty if it may.

    Outside of JupyterHub checks run at once. On a hub without a queue, or with one that does not answer,
    they do so as well, and `say` hears of it.
    """
    connection, refused, trouble = None, "", ""
    try:
        if url := os.environ.get(VARIABLE, "").strip():
            connection = _connection(url)
            refused = _wait(connection, urlsplit(url).path or "/", on_step, stop)
        elif "JUPYTERHUB_USER" in os.environ:
            trouble = "This hub has no queue for checks."
    except (OSError, HTTPException, ValueError, TypeError, AttributeError, KeyError) as error:
        trouble = f"The room's queue at {url} does not answer ({error or type(error).__name__})."
    try:
        if trouble:
            say(f"{trouble} {_NOW}")
        yield refused
    finally:
        if connection is not None:
            connection.close()


def _connection(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"set {VARIABLE} to the http address of the hub's service")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname, parts.port, timeout=_SILENCE)


def _wait(connection: HTTPConnection, path: str, on_step: Say | None, stop: Stop | None) -> str:
    """Return why this check may not run, empty as soon as it is its turn."""
    token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
    connection.request("POST", path, headers={"Authorization": f"token {token}"})
    answer = connection.getresponse()
    if answer.status == 429:
        return "As many checks of yours as may wait are in the room's queue already."
    if answer.status != 200:
        raise ValueError(f"{answer.status} {answer.reason}")
    while line := answer.readline():
        said = json.loads(line)
        if "turn" in said:
            return ""
        if stop is not None and stop():
            return "The check was stopped before its turn."
        if on_step is not None:
            ahead = int(said["ahead"])
            on_step(f"{count(ahead, 'check')} before it in the room's queue" if ahead else "next")
    raise ValueError("it closed the connection")
