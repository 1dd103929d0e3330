"""One line that says how far a comparison is: in a notebook, a terminal, or a log."""

import sys
from types import TracebackType
from typing import Any, Self

__all__ = ["Progress"]


class Progress:
    """`with Progress("...", shown=True) as progress: progress.say(...)`.

    A notebook's output and a terminal's line are rewritten in place; anywhere else (a log, a
    pipe) only the first and the last words are written.
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
            from IPython.display import DisplayHandle  # noqa: PLC0415 - only in a notebook

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._terminal:
            sys.stderr.write("\n")
            sys.stderr.flush()
