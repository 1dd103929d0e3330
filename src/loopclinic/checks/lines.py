"""Lines of a lab, as a reason points at them."""

import re
from pathlib import Path
from typing import Any

__all__ = ["at_line", "file_of", "known", "line_of", "quoted", "text_at"]


def line_of(text: str, pattern: str) -> int | None:
    """Return the first line of `text` that matches, comments left out, or None."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(pattern, line.partition("#")[0]):
            return number
    return None


def text_at(text: str, line: int | None) -> str:
    """Return what stands in this line of `text`; nothing if there is no such line."""
    lines = text.splitlines()
    return lines[line - 1].strip() if line and line <= len(lines) else ""


def known(place: dict[str, Any] | None) -> tuple[int | None, str]:
    """Return line and code of a place, as far as they are known."""
    return (place["line"], place["code"]) if place else (None, "")


def file_of(place: dict[str, Any] | None, lab: Path) -> str:
    """Return the file of a place: of a folder, the one that holds the line."""
    return str(place["file"]) if place and place.get("file") else str(lab)


def at_line(line: int | None, code: str) -> str:
    """Return ` at line 7: ...` with its code, or nothing."""
    return "" if line is None else f" at line {line}{quoted(code)}"


def quoted(code: str) -> str:
    """Return `: ...` with this code, or nothing."""
    return f": `{code}`" if code else ""
