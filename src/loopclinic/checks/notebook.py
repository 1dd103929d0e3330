"""What a check says while it runs in a notebook: a sentence, and one line that names the step."""

import html
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["in_kernel", "say", "step_line"]


def in_kernel() -> bool:
    """Whether this code runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def say(sentence: str) -> None:
    """Show a sentence under the cell, or on standard error where there is no notebook."""
    if not in_kernel():
        print(sentence, file=sys.stderr)
        return
    _display(f"<div role='note' style='opacity:.8;max-width:60em'>{html.escape(sentence)}</div>")


@contextmanager
def step_line(on_step: Callable[[str], None] | None) -> Iterator[Callable[[str], None] | None]:
    """Give `on_step` back, or in a notebook a line under the cell that lives as long as the check."""
    if on_step is not None or not in_kernel():
        yield on_step
        return
    line = _display(_line("setting up"), display_id=True)

    def show(step: str) -> None:
        _update(line, _line(step))

    try:
        yield show
    finally:
        _update(line, "")


def _line(step: str) -> str:
    return f"<div role='status' style='opacity:.8'>Checking: {html.escape(step)} …</div>"


def _display(text: str, **options: Any) -> Any:
    from IPython.display import HTML, display  # noqa: PLC0415 - only in a kernel

    return display(HTML(text), **options)  # type: ignore[no-untyped-call]


def _update(line: Any, text: str) -> None:
    from IPython.display import HTML  # noqa: PLC0415 - only in a kernel

    line.update(HTML(text))  # type: ignore[no-untyped-call]
