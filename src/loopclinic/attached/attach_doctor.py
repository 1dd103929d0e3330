"""Report of `loopclinic attach --doctor`: which rights and which Python it takes to read a process."""

import os
import platform
import sys
from collections.abc import Iterator
from typing import NamedTuple

from loopclinic.attached import rights
from loopclinic.attached.remote_loops import LoopReader
from loopclinic.attached.remote_process import RemoteProcess
from loopclinic.probe.remote_stack import GoneError
from loopclinic.units import count

_SCOPES = {
    0: "0: processes of your own user can be read",
    1: "1: only your own children can be read, unless with CAP_SYS_PTRACE (sudo)",
    2: "2: only with CAP_SYS_PTRACE (sudo)",
    3: "3: nobody can read another process",
}


class Row(NamedTuple):
    """One thing that was looked at. `good` is None where it is neither good nor bad."""

    name: str
    good: bool | None
    sentence: str


def rows(pid: int | None) -> Iterator[Row]:
    """Yield what was found, and of a process whether it can be read, and what to do if not."""
    yield Row(
        "loopclinic",
        None,
        f"runs on Python {platform.python_version()}, as {rights.named(getattr(os, 'geteuid', int)())}",
    )
    if sys.platform == "linux":
        traces, scope = rights.may_trace(), rights.ptrace_scope()
        yield Row("CAP_SYS_PTRACE", None, "yes: processes of other users too" if traces else "no")
        good = None if scope == 0 or (traces and scope < 3) else False
        yield Row("ptrace_scope", good, _SCOPES.get(scope, str(scope)))
        if rights.in_container():
            needs = "this is one: it needs --cap-add SYS_PTRACE"
            yield Row("container", None if traces else False, needs)
        if pid is None:
            yield Row("process", None, "give a PID to see whether it can be read")
            return
        for owner in rights.status(pid).get("Uid", "").split()[:1]:
            yield Row("process", None, f"{pid} belongs to {rights.named(int(owner))}")
    try:
        process = RemoteProcess(pid or 0)
    except rights.AttachError as error:
        yield Row(error.kind, False, str(error))
        return
    try:
        yield Row("Python", True, f"CPython {process.release}, 64 bits, with the GIL")
        loops = LoopReader(process).looks()
    except GoneError:
        loops = []
    finally:
        process.close()
    yield Row("loops", bool(loops) or None, f"{count(len(loops), 'event loop')} found")
