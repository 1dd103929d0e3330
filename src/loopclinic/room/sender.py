"""Sends a learner's progress to a live room each time it changes, and to nobody else."""

import contextlib
import json
import re
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from loopclinic.checks.lab_files import write_whole
from loopclinic.paths import state_dir
from loopclinic.room.entry import entry_to_send

VARIABLE = "LOOPCLINIC_ROOM"
"""The environment variable with the room's address, in learners' servers on a hub that has a room."""
LOOKS = 2.0
"""Seconds between two steps of a sender."""
_BEATS, _PATIENCE = 15.0, 5.0
"""Seconds between entries without a change, and until an answer is given up."""


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirection."""


# The room is on this network: a proxy or a redirection would carry what is sent out of it.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)


def line_of(text: str) -> tuple[str, str] | None:
    """Return address and token of what the facilitator hands out; None if it is none.

    It is `host:port/token`, or `https://host/token` with a path between them where a proxy has one.
    """
    host, path = r"(https?://[\w.-]+(?::\d{1,5})?|[\w.-]+:\d{1,5})", r"((?:/[\w-]+)*)/(\w{8,64})/?"
    if (found := re.fullmatch(host + path, text.strip(), re.ASCII)) is None:
        return None
    return f"{'' if '://' in found[1] else 'http://'}{found[1]}{found[2]}", found[3]


class RoomRefusedError(Exception):
    """The room refuses this learner; the message is its sentence."""


class Sender:
    """Sends entries under a key, which it asks the room for and keeps for the next time.

    On a hub `key` is the token of this server; there a name is kept, so that each sender of it has it.
    """

    def __init__(
        self, line: tuple[str, str], name: str, say: Callable[[str], None], key: str = ""
    ) -> None:
        self._line, self._name, self._say, self._on_hub = line, name, say, bool(key)
        self._kept = state_dir() / "room.json"
        if self._on_hub and name:
            self._keep(name=name)
        self._key = key or self._read("key")
        self._sent, self._sent_at = "", 0.0
        self._there: bool | None = None

    def step(self, now: float) -> float:
        """Send the entry if it has changed, or as a sign of life; return seconds until the next step.

        RoomRefusedError if the token is wrong or the room is full, ProgressError if there is nothing to read.
        """
        name = self._name or (self._read("name") if self._on_hub else "")
        entry = json.dumps(entry_to_send(name))
        if entry == self._sent and now - self._sent_at < _BEATS:
            return LOOKS
        try:
            self._key = self._key or self._join()
            request("PUT", f"{self._line[0]}/entry", self._key, entry)
        except HTTPError as error:
            return self._refused(error)
        except (OSError, HTTPException, OverflowError, ValueError, LookupError, TypeError) as error:
            why = ascii(str(getattr(error, "reason", error)))[1:-1]  # may be what a stranger sent
            self._tell(False, f"The room does not answer ({why}): trying again.")
            return _PATIENCE
        self._tell(True, "You are in the room.")
        self._sent, self._sent_at = entry, now
        return LOOKS

    def _tell(self, there: bool, sentence: str) -> None:
        if self._there != there:
            self._say(sentence)
        self._there = there

    def _refused(self, error: HTTPError) -> float:
        if error.code == 401:  # another room at the same address, or the same one begun anew
            self._key = ""
            return LOOKS
        # 404: of a proxy whose room is not up yet.
        if error.code in (404, 408, 429) or error.code >= 500:
            wait = error.headers.get("Retry-After", "")
            return max(min(float(wait), 60.0), 1.0) if wait.isdecimal() else _PATIENCE
        try:
            said = error.read(200).decode(errors="replace")
        except (OSError, HTTPException):
            said = str(error.code)
        raise RoomRefusedError(ascii(said)[1:-1])

    def _join(self) -> str:
        key = str(json.loads(request("POST", f"{self._line[0]}/join", self._line[1]))["key"])
        self._keep(key=key)
        return key

    def _keep(self, **what: str) -> None:
        kept = json.dumps({"line": self._line, **what})
        with contextlib.suppress(OSError):  # then the next time is another learner
            write_whole(self._kept, kept.encode(), 0o600)

    def _read(self, what: str) -> str:
        try:
            kept = json.loads(self._kept.read_text("utf-8"))
            return str(kept[what]) if kept["line"] == [*self._line] else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def request(method: str, address: str, secret: str, body: str = "") -> bytes:
    """Return what a room answers to one request; HTTPError, OSError, HTTPException or ValueError if it does not."""
    headers = {"Authorization": f"Bearer {secret}"}
    asked = urllib.request.Request(address, body.encode() or None, headers, method=method)  # noqa: S310 - http or https by line_of
    with _opener.open(asked, timeout=_PATIENCE) as answer:
        return bytes(answer.read(1000))
