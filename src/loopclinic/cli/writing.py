"""Files that a command writes where it was told to."""

import sys
from pathlib import Path

__all__ = ["unwritable", "write"]


def unwritable(path: Path | None) -> str | None:
    """Return a sentence where a report can't be written, or None: asked before anything runs."""
    if path is None or (path.parent.is_dir() and not path.is_dir()):
        return None
    return f"{path} can't be written: name a file in a folder that exists."


def write(path: Path, text: str) -> bool:
    """Write a report and say so on standard error; False where it can't be."""
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        print(f"loopclinic: {path} can't be written ({error.strerror}).", file=sys.stderr)
        return False
    print(f"  written to {path}", file=sys.stderr)
    return True
