"""Progress of a check in a notebook: notices, and one line that shows the current step."""

import html
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from loopclinic.drawing.tables import Drawing


def in_kernel() -> bool:
    """Return whether this code runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def say(sentence: str) -> None:
    """Show a sentence under the cell, or on standard error where there is no notebook."""
    if not in_kernel():
        print(sentence, file=sys.stderr)
        return
    _display(Drawing.note(sentence))


@contextmanager
def step_line(on_step: Callable[[str], None] | None) -> Iterator[Callable[[str], None] | None]:
    """Give `on_step` back, or in a notebook a line under the cell that lives as long as the check."""
    if on_step is not None or not in_kernel():
        yield on_step
        return
    line = _display(_line("setting up"), display_id=True)
    try:
        yield lambda step: line.update(_line(step))
    finally:
        line.update(Drawing("", ""))


def _line(step: str) -> Drawing:
    words = f"Checking: {step} …"
    return Drawing(f"<p role='status' class='lc-muted'>{html.escape(words)}</p>", words)


def _display(drawing: Drawing, **options: Any) -> Any:
    from IPython.display import display  # only in a kernel

    return display(drawing, **options)  # type: ignore[no-untyped-call]
