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
    """Return address and token of what the facilitator hands out, `host:port/token`; None if it is none."""
    found = re.fullmatch(r"(?:http://)?([\w.-]+:\d{1,5})/(\w{8,64})/?", text.strip(), re.ASCII)
    return found and (found[1], found[2])


class RoomRefusedError(Exception):
    """The room refuses this learner; the message is its sentence."""


class Sender:
    """Sends entries under a key, which it asks the room for and keeps for the next time."""

    def __init__(self, line: tuple[str, str], name: str, say: Callable[[str], None]) -> None:
        self._line, self._name, self._say = line, name, say
        self._kept = state_dir() / "room.json"
        self._key = self._read_key()
        self._sent, self._sent_at = "", 0.0
        self._there: bool | None = None

    def step(self, now: float) -> float:
        """Send the entry if it has changed, or as a sign of life; return seconds until the next step.

        RoomRefusedError if the token is wrong or the room is full, ProgressError if there is nothing to read.
        """
        entry = json.dumps(entry_to_send(self._name))
        if entry == self._sent and now - self._sent_at < _BEATS:
            return LOOKS
        try:
            self._key = self._key or self._join()
            self._request("PUT", "entry", self._key, entry)
        except HTTPError as error:
            return self._refused(error)
        except (OSError, HTTPException, OverflowError, ValueError, LookupError, TypeError) as error:
            why = getattr(error, "reason", error)
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
        if error.code in (408, 429) or error.code >= 500:
            wait = error.headers.get("Retry-After", "")
            return min(float(wait), 60.0) if wait.isdecimal() else _PATIENCE
        raise RoomRefusedError(ascii(error.read(200).decode(errors="replace"))[1:-1])

    def _join(self) -> str:
        key = str(json.loads(self._request("POST", "join", self._line[1], ""))["key"])
        kept = json.dumps({"line": self._line, "key": key})
        with contextlib.suppress(OSError):  # then the next time is another learner
            write_whole(self._kept, kept.encode(), 0o600)
        return key

    def _read_key(self) -> str:
        try:
            kept = json.loads(self._kept.read_text("utf-8"))
            return str(kept["key"]) if kept["line"] == [*self._line] else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _request(self, method: str, path: str, secret: str, body: str) -> bytes:
        headers = {"Authorization": f"Bearer {secret}"}
        address = f"http://{self._line[0]}/{path}"
        asked = urllib.request.Request(address, body.encode(), headers, method=method)
        with _opener.open(asked, timeout=_PATIENCE) as answer:
            return bytes(answer.read(1000))
