"""Argument types that several commands share: a lesson, numbers, files to write; and their errors."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def add_lesson(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the argument NN, the number of a lesson."""
    more = " (default: the next lab that has not passed)" if optional else ""
    parser.add_argument(
        "lesson",
        metavar="NN",
        nargs="?" if optional else None,
        help=f"number of the lesson, such as 01{more}",
    )


def number_above(text: str, least: float, words: str) -> float:
    """Return the number that a text gives, above `least`; `words` say what it should have been."""
    try:
        found = float(text)
    except ValueError:
        found = least
    if not least < found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not {words}")
    return found


def seconds(text: str) -> float:
    """Return a number of seconds above zero."""
    return number_above(text, 0.0, "a number of seconds above zero")


def words(text: str) -> tuple[str, ...]:
    """Return the words of a list that is separated by commas."""
    return tuple(text.replace(",", " ").split())


def refuse(sentence: object, status: int = 2) -> int:
    """Print why a command does not do what it was asked to; return its exit status."""
    print(f"loopclinic: {sentence}", file=sys.stderr)
    return status


def agreed(question: str) -> bool:
    """Ask, and return whether the answer is yes; no answer is none."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def unwritable(path: Path | None) -> str | None:
    """Return a sentence where a report can't be written, or None: asked before anything runs."""
    if path is None or (path.parent.is_dir() and not path.is_dir()):
        return None
    return f"{path} can't be written: name a file in a folder that exists."


def write_all(*reports: tuple[Path | None, Callable[[], str]]) -> bool:
    """Write each report that has a path; False where one can't be."""
    written = [write(path, text()) for path, text in reports if path is not None]
    return all(written)


def write(path: Path, text: str) -> bool:
    """Write a report and say so on standard error; False where it can't be."""
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        refuse(f"{path} can't be written ({error.strerror}).")
        return False
    print(f"  written to {path}", file=sys.stderr)
    return True
