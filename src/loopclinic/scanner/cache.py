"""Cache of a scan in the user's state folder: facts by content hash, and whole results."""

import contextlib
import hashlib
import json
import marshal
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loopclinic.scanner.file_facts import Reading


def folder() -> Path:
    """Return where scans are remembered: below `LOOPCLINIC_HOME`, or the platform's state folder."""
    named = os.environ.get("LOOPCLINIC_HOME")
    if named:
        return Path(named).expanduser() / "scan"
    # As platformdirs has it, which the light install does without.
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return base / "loopclinic" / "scan"


def fingerprint() -> str:
    """Return what identifies this scanner and interpreter: facts of another are not used."""
    here = Path(__file__).parent
    seen = hashlib.blake2b(sys.version.encode(), digest_size=12)
    catalogue = here.parent / "blocking_calls"
    for one in sorted([*here.rglob("*"), *catalogue.iterdir(), here.parent / "conflicts.py"]):
        if one.suffix in (".py", ".toml"):
            status = one.stat()
            seen.update(f"{one.name}{status.st_size}{status.st_mtime_ns}".encode())
    return seen.hexdigest()


class Cache:
    """What is remembered of one scanned path. Anything unreadable counts as forgotten."""

    def __init__(self, root: Path, where: Path | None) -> None:
        """Look for what is remembered of `root` in the folder `where`; None remembers nothing."""
        self._mark = fingerprint() if where is not None else ""
        name = hashlib.blake2b(str(root).encode("utf-8", "replace"), digest_size=12).hexdigest()
        self._facts = where / f"{name}.facts" if where is not None else None
        self._result = where / f"{name}.json" if where is not None else None

    def result(self, key: str) -> dict[str, Any] | None:
        """Return the report of the same files under the same options."""
        if self._result is None:
            return None
        try:
            remembered = json.loads(self._result.read_text("utf-8"))
            return remembered["report"] if remembered["key"] == self._mark + key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_result(self, key: str, report: Mapping[str, Any]) -> None:
        """Remember a report."""
        text = json.dumps({"key": self._mark + key, "report": report})
        _write(self._result, text.encode())

    def readings(self) -> dict[bytes, Reading]:
        """Return content hash -> reading."""
        if self._facts is None:
            return {}
        try:
            mark, records = marshal.loads(self._facts.read_bytes())  # noqa: S302 - written by us
            return {key: Reading.of(one) for key, one in records.items() if mark == self._mark}
        except (OSError, ValueError, EOFError, TypeError):
            return {}

    def keep_readings(self, readings: Mapping[bytes, Reading]) -> None:
        """Remember readings."""
        records = {key: one.plain for key, one in readings.items()}
        _write(self._facts, marshal.dumps((self._mark, records)))


def _write(path: Path | None, data: bytes) -> None:
    if path is None:
        return
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError:  # a scan without a cache is only slower
        with contextlib.suppress(OSError):
            part.unlink()
