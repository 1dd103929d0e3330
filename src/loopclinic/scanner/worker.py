"""Reads its share of the files in a process of its own: paths in by stdin, facts out by stdout.

Started with `-P`, so that no file of the scanned folder is ever imported in place of a module.
"""

import gc
import marshal
import sys
from pathlib import Path
from typing import Any

from loopclinic.scanner.reading import read

__all__ = ["main"]


def main() -> None:
    """Answer each (position, path) of the request by (position, record)."""
    gc.disable()  # syntax trees are freed by counting; looking for cycles takes a fifth of the time
    request = marshal.load(sys.stdin.buffer)  # noqa: S302 - from our own parent
    out = sys.stdout.buffer
    for count, (position, path) in enumerate(request):
        one = read(Path(path))
        summary = tuple(one.summary) if one.summary is not None else None
        record: Any = (position, one.dump, summary, one.live, one.reason, one.line)
        marshal.dump(record, out)
        if count % 8 == 0:
            out.flush()
            gc.collect(0)
    out.flush()


if __name__ == "__main__":
    main()
