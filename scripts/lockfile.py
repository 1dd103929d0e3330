"""Reads and writes requirements.lock: pinned versions with hashes, in two marked parts.

`requirements.lock` is a plain requirements file, so `pip install --require-hashes -r` takes it
whole. The part a learner needs stands first; what only tests need follows `MARK`. Both parts come
from one solve, so they can't disagree, and installing the first alone is cutting the file at a line.
"""

import re
from dataclasses import dataclass
from pathlib import Path

MARK = "# --- test only below this line ---"
PARTS = ("kit", "test")


@dataclass(frozen=True)
class Pin:
    """One pinned package: its version, its block of the lock, the SHA-256 digests allowed."""

    name: str
    version: str
    block: str
    digests: frozenset[str]


def part(lock: Path, name: str) -> str:
    """Return the lines that `name` ("kit" or "test") needs; "test" includes the kit's."""
    text = lock.read_text(encoding="utf-8")
    kit, mark, _ = text.partition(MARK)
    if not mark:
        raise SystemExit(f"{lock} has no line {MARK!r}: restore it with git checkout {lock.name}")
    return text if name == "test" else kit


def blocks(text: str) -> list[str]:
    """Return one string a package, its hashes included, in the order of `text`."""
    return re.findall(r"^[A-Za-z0-9][^\n]*(?:\n[ \t]+[^\n]*)*", text, flags=re.MULTILINE)


def pin(lock: Path, name: str) -> Pin:
    """Return the pin of one package."""
    for block in blocks(part(lock, "test")):
        found = re.match(rf"{re.escape(name)}==([^\s;]+)", block)
        if found:
            digests = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
            return Pin(name, found[1], block, digests)
    raise SystemExit(f"{lock} pins no {name}: restore it with git checkout {lock.name}")
