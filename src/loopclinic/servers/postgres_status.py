"""What the user's PostgreSQL is doing, and the commands that keep it, end it and remove it."""

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from loopclinic.servers.postgres_database import VARIABLE
from loopclinic.servers.postgres_lease import Lease, find_server, state_folder
from loopclinic.servers.process import ServerError

__all__ = ["down", "remove", "status", "up"]

_END = 10.0


def status() -> dict[str, Any]:
    """Return where PostgreSQL runs and what is on it, as JSON values; seconds and bytes.

    `way` is `address` (DATABASE_URL), `machine` or `wheel`; with `running` false there is no more.

    Raises:
        ServerError: DATABASE_URL is set and leads to no server.
    """
    address = os.environ.get(VARIABLE, "").strip()
    if address:
        from loopclinic.servers.postgres_foreign import describe_server  # noqa: PLC0415 - a driver takes its time to import

        return describe_server(address)
    server = find_server("status")
    if server is None:
        return {"running": False}
    with contextlib.closing(server):
        found: dict[str, Any] = server.ask("status")
        del found["password"]
        found |= {
            "running": True,
            "address": f"postgresql://127.0.0.1:{found['port']}",
            "uptime": time.time() - found["started"],
            "bytes": _size(Path(found["data"])),
        }
        return found


def up() -> Lease:
    """Start the kit's own server where needed, and have it stay until `down`; return the lease.

    Raises:
        ServerError: it can't be started.
    """
    lease = Lease("servers up").start()
    try:
        lease.ask("keep")
    except BaseException:
        lease.close()
        raise
    return lease


def down(*, force: bool = False) -> list[dict[str, Any]] | None:
    """Let go of what `up` holds, and end the server unless others hold leases, who are returned.

    `force` ends it for them, too. Returns None where none was running.
    """
    server = find_server("down")
    if server is None:
        return None
    with contextlib.closing(server):
        leases: list[dict[str, Any]] = server.ask("status")["leases"]
        if not server.ask("down", force=force):
            return leases
    _wait_for_end()
    return []


def remove() -> list[Path]:
    """End the server and remove all that it keeps on this machine; return the folders removed.

    Raises:
        ServerError: a folder can't be removed.
    """
    folder = state_folder()
    down(force=True)
    _wait_for_end()
    removed = []
    note = folder / "place"
    places = [Path(note.read_text("utf-8").strip())] if note.exists() else []
    for path in (*places, folder):
        if path.exists():
            try:
                shutil.rmtree(path)
            except OSError as error:
                raise ServerError(
                    f"{path} can't be removed ({error}): remove it by hand."
                ) from error
            removed.append(path)
    return removed


def _wait_for_end() -> None:
    try:
        with FileLock(state_folder() / "running.lock", timeout=_END):
            pass
    except Timeout:
        raise ServerError(
            f"PostgreSQL's supervisor did not end within {_END:g} s: end the process named in "
            f"{state_folder() / 'state.json'}."
        ) from None


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(parent) / name).lstat().st_size
    return total
