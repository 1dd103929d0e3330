"""Interrupts in a Jupyter kernel: they reach the cell at once, and one sentence stands for the kit's traceback."""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from traceback import walk_tb
from types import FrameType, TracebackType
from typing import Any

_OURS = f"{Path(__file__).parent}{os.sep}"


def install() -> None:
    """Set the handlers in this kernel; outside of one, or where the reader has set some, do nothing."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    if hasattr(shell, "kernel") and not shell.custom_exceptions:
        shell.set_custom_exc((KeyboardInterrupt, asyncio.CancelledError), _show)
        shell.events.register("pre_run_cell", _wake)
        sys.unraisablehook = _again


def _show(
    shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType, **how: Any
) -> list[str]:
    """Show the sentence, or IPython's traceback if it was no interrupt or none of our frames was running."""
    from loopclinic.probe.stack import cell_label  # not with every `import loopclinic`

    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(trace)]
    # An interrupt cancels the task of a cell that awaits; a CancelledError of the code itself does not.
    task = asyncio.current_task() if kind is not KeyboardInterrupt else None
    ours = any(file.startswith(_OURS) and file != __file__ for file, _ in places)
    if ours and (task is None or task.cancelling()):
        cells = [f" at {cell}, line {line}" for file, line in places if (cell := cell_label(file))]
        where = cells[-1] if cells else ""
        shown = [f"Interrupted{where}. The kernel is ready: run this cell again."]
    else:
        last: TracebackType | None = trace
        while last is not None:  # the handler below is no frame of the reader's
            after = last.tb_next
            if after is not None and after.tb_frame.f_code.co_filename == __file__:
                last.tb_next = after = None
            last = after
        shown = shell.InteractiveTB.structured_traceback(kind, error, trace, **how)
    shell._showtraceback(kind, error, shown)  # noqa: SLF001 - what `showtraceback` ends with
    return shown


def _wake(_info: Any) -> None:
    """Have an interrupt wake the loop: ipykernel 7.4 only adds a callback, which an idle loop finds at its next event."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is threading.main_thread() and callable(before):
        loop = asyncio.get_running_loop()

        def interrupt(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(int)
            before(number, frame)

        # Until the cell's end, when ipykernel sets its own again.
        signal.signal(signal.SIGINT, interrupt)


def _again(found: Any) -> None:
    """Repeat an interrupt that came inside a callback of the garbage collector, where Python drops it."""
    if issubclass(found.exc_type, KeyboardInterrupt) and hasattr(signal, "pthread_kill"):
        # To this thread: it may be in a system call.
        again = [threading.main_thread().ident, signal.SIGINT]
        threading.Timer(0.05, signal.pthread_kill, again).start()
    else:
        sys.__unraisablehook__(found)
