"""Progress of a check in a notebook: notices, and one line that shows the current step."""

import html
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loopclinic.drawing.live_drawing import LiveDrawing
from loopclinic.drawing.tables import Drawing


def in_kernel() -> bool:
    """Return whether this code runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def say(sentence: str) -> None:
    """Show a sentence under the cell, or on standard error where there is no notebook."""
    if in_kernel():
        LiveDrawing(Drawing.note(sentence))
    else:
        print(sentence, file=sys.stderr)


@contextmanager
def step_line(on_step: Callable[[str], None] | None) -> Iterator[Callable[[str], None] | None]:
    """Give `on_step` back, or in a notebook a line under the cell that lives as long as the check."""
    if on_step is not None or not in_kernel():
        yield on_step
        return
    line = LiveDrawing(_line("setting up"))
    try:
        yield lambda step: line.show(_line(step))
    finally:
        line.show(Drawing("", ""))


def _line(step: str) -> Drawing:
    words = f"Checking: {step} …"
    return Drawing(f"<p role='status' class='lc-muted'>{html.escape(words)}</p>", words)
