"""The process that ends one PostgreSQL server and removes its folder, as soon as its owner has ended.

    python -I -S keeper.py FOLDER PACKAGES       # where psutil is; light, since the owner waits meanwhile

The owner holds the other end of standard input: when that closes, or the owner is no longer the parent
(a fork of it may hold the pipe, too), the server ends. So it does on SIGTERM, and when its folder is
removed. Once the owner has written anything, it stays until then.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_TICK = 0.5
_LAST_LOOKS, _AGAIN = 20, 0.05
_POLL, _FAST = 0.005, 0.5
"""Seconds for open sessions to be ended in order; afterwards they are cut off."""
_SIGNALS = ("SIGINT", "SIGQUIT", "SIGKILL") if os.name == "posix" else ("SIGTERM",)
"""What asks PostgreSQL to end its sessions, cuts them off, and kills it."""
_LOG_LIMIT = 512 << 10


def main(folder: Path) -> None:
    """Wait until the server's owner ends, or the server itself, then end it and remove its folder."""
    over, stays, owner = threading.Event(), threading.Event(), os.getppid()
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    threading.Thread(target=_read, args=(over, stays), daemon=True).start()
    log, server = folder / "log", None
    while not over.wait(_TICK):
        # On Windows only its pipe tells of the owner's end.
        if os.name == "posix" and os.getppid() != owner and not stays.is_set():
            break
        server = server or server_of(folder)
        if server and (not folder.exists() or not _runs(server)):
            break
        with contextlib.suppress(OSError):
            # Appended to by the server: what is cut off leaves no hole.
            if log.stat().st_size > _LOG_LIMIT:
                os.truncate(log, 0)
    for _ in range(_LAST_LOOKS):  # at one that was just starting, too
        end_server(folder, server)
        if not folder.exists():
            break
        time.sleep(_AGAIN)


def end_server(folder: Path, server: "psutil.Process | None" = None) -> None:
    """End the server of a folder, whoever uses it, and remove the folder."""
    import psutil  # takes its time to import

    if server := server or server_of(folder):
        for name in _SIGNALS:
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                if _runs(server):
                    server.send_signal(getattr(signal, name))
            deadline = time.monotonic() + _FAST
            while _runs(server) and time.monotonic() < deadline:
                time.sleep(_POLL)
    shutil.rmtree(folder, ignore_errors=True)


def server_of(folder: Path) -> "psutil.Process | None":
    """Return the process of the server that runs on a folder, None where there is none."""
    import psutil  # takes its time to import

    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(folder / "data") in one.cmdline():
                return one
    return None


def _runs(server: "psutil.Process") -> bool:
    import psutil  # takes its time to import

    try:
        return server.is_running() and server.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _read(over: threading.Event, stays: threading.Event) -> None:
    # Not by sys.stdin, whose lock this thread would hold while the process ends.
    while os.read(0, 4096):
        stays.set()
    if not stays.is_set():
        over.set()


if __name__ == "__main__":
    sys.path.append(sys.argv[2])
    main(Path(sys.argv[1]))
