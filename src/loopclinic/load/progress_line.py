"""Progress of a comparison as one line, in a notebook, a terminal or a log."""

import sys
from asyncio import CancelledError
from typing import Any, Self


class Progress:
    """`with Progress("...", shown=True) as progress: progress.say(...)`.

    A notebook's output and a terminal's line are rewritten in place; anywhere else (a log, a
    pipe) only the first and the last words are written. The last words of one that is interrupted say so.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._handle: Any = None
        self._width = 0
        self._terminal = False

    def __enter__(self) -> Self:
        if not self._shown:
            return self
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython is not None else None
        if shell is not None and hasattr(shell, "kernel"):
            from IPython.display import DisplayHandle  # only in a notebook

            self._handle = DisplayHandle()  # type: ignore[no-untyped-call]
            self._handle.display({"text/plain": ""}, raw=True)
        else:
            self._terminal = sys.stderr.isatty()
        return self

    def say(self, words: str) -> None:
        """Show these words instead of the ones before."""
        if not self._shown:
            return
        if self._handle is not None:
            self._handle.update({"text/plain": words}, raw=True)
        elif self._terminal:
            sys.stderr.write("\r" + words.ljust(self._width))
            sys.stderr.flush()
            self._width = len(words)

    def done(self, words: str) -> None:
        """Show the last words."""
        self.say(words)
        if self._shown and self._handle is None and not self._terminal:
            sys.stderr.write(words + "\n")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt | CancelledError):
            self.done("Interrupted: no figures were kept.")
        if self._terminal:
            sys.stderr.write("\n")
            sys.stderr.flush()
