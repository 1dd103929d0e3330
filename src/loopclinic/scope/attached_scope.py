"""`loopclinic.attach`: a scope on the loop of another process."""

from loopclinic.attached.sampler import ProcessProbe
from loopclinic.scope.widget import Scope


def attach(pid: int, *, threshold: float = 0.05) -> Scope:
    """Show the event loop of a running process, as `loopclinic attach PID` does; nothing is written into it.

    Of several loops it shows the main thread's, else the first one. As the last expression of a cell
    the scope appears below; its `stop()` ends the reading. `print` of it gives the report.

    Args:
        pid: the process: CPython 3.11 to 3.15 of your own user, on Linux.
        threshold: seconds of busy time from which on an iteration is a stall.

    Raises:
        AttachError: the process can't be read, or no loop runs in it; the message says why, and what to do.
    """
    return Scope(ProcessProbe(pid, threshold=threshold))
