"""A variant that is a command: a program that serves HTTP on the port it is given."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from loopclinic.import_path import LoadError
from loopclinic.load.by_value import pack
from loopclinic.load.variant import Variant

LISTENS = 15.0
"""Seconds that a command has until it listens."""
_PORT = "{port}"
_TOLD = 3  # words of a name
_PYTHONS = {"python", "python3"}


@dataclass(frozen=True)
class Command(Variant):
    """A command with `{port}` where its port goes, such as `python app.py --port {port}`; LoadError without it.

    `python` is the Python of this process. The command runs in this working folder, with this
    environment, in a session of its own, and has to listen on 127.0.0.1.
    """

    host: ClassVar[str] = "loopclinic.design.command_server"

    target: str
    folder: str = ""

    def __post_init__(self) -> None:
        if self.setup is not None:
            raise LoadError(f"{self.target!r} is a command: it sets itself up, without setup=.")
        if not is_command(self.target):
            step = "write {port} where the command takes it."
            raise LoadError(f"{self.target!r} names no port: {step}")
        words = words_of(self.target)
        if not self.name:
            object.__setattr__(self, "name", _name_of(words))
        if not self.folder:
            object.__setattr__(self, "folder", str(Path.cwd()))


@pack.register
def _(variant: Command) -> dict[str, Any]:
    return {
        "name": variant.name,
        "words": words_of(variant.target),
        "folder": variant.folder,
        "environ": dict(os.environ),
        "patience": LISTENS,
    }


def is_command(target: Any) -> bool:
    """Return whether a target is a command."""
    return isinstance(target, str) and _PORT in target


def words_of(command: str) -> list[str]:
    """Return the words of a command, with this Python for `python`; LoadError if a quote is left open."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise LoadError(f"{command!r} can't be split into words: {error}.") from None
    if words[0] in _PYTHONS:
        words[0] = sys.executable
    return words


def _name_of(words: list[str]) -> str:
    """Return what is run, and the words that say which: `uvicorn shop:app`, `serve before`."""
    said = []
    before = ""
    for word in words[1:] if words[0] == sys.executable else words:
        is_value = before.startswith("-") and before != "-m" and not word.endswith(".py")
        if not (word.startswith("-") or is_value or _PORT in word):
            said.append(word)
        before = word
    if not said:
        return Path(words[0]).name
    program = Path(said[0])
    return " ".join([program.stem if program.suffix == ".py" else program.name, *said[1:_TOLD]])
