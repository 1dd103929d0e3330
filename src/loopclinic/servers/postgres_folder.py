"""PostgreSQL's data folder: made once, with a random password, and configured at every start."""

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from loopclinic.servers.postgres_account import Account
from loopclinic.servers.postgres_binaries import Binaries
from loopclinic.servers.process import ServerError

__all__ = ["ADMIN", "LEARNER", "DataFolder", "address", "environment", "place_for", "private"]

ADMIN = "loopclinic"
"""The superuser: makes and drops databases, and has three connections kept free for it."""
LEARNER = "learner"
"""The role of lessons and labs: it can use up its connections without locking the kit out."""

_TIMEOUT = 60.0
_PLACE = "loopclinic-postgres-"
_SETTINGS = """\
# Written at every start by loopclinic; changes are lost.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
superuser_reserved_connections = 3
password_encryption = 'scram-sha-256'
shared_buffers = '32MB'
# /dev/shm is tiny in containers, and segments there outlive a kill.
dynamic_shared_memory_type = 'mmap'
# No lesson measures the disk, and every database here is dropped when its lesson ends.
fsync = off
full_page_writes = off
wal_level = 'minimal'
max_wal_senders = 0
min_wal_size = '32MB'
max_wal_size = '128MB'
# Databases live for minutes; background work would only show up in the latencies.
autovacuum = off
jit = off
max_parallel_workers_per_gather = 0
max_logical_replication_workers = 0
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
log_line_prefix = '%m %d '
"""
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


class DataFolder:
    """The data folder at `path`; its password is kept in the file `password`, for its owner only."""

    def __init__(self, binaries: Binaries, place: Path, password: Path) -> None:
        self.binaries = binaries
        self.path = place / f"data-{binaries.major}"
        self._password = password

    @property
    def password(self) -> str:
        """The password of both roles."""
        return self._password.read_text("utf-8").strip()

    @property
    def is_whole(self) -> bool:
        """Whether it was made, as far as can be told without starting a server on it."""
        return (self.path / "PG_VERSION").exists() and self._password.exists()

    def make(self) -> None:
        """Make the folder in the place of any before, also of one of another version.

        Raises:
            ServerError: initdb failed.
        """
        place, account = self.path.parent, self.binaries.account
        for pattern in ("data-*", "making-*"):
            for old in place.glob(pattern):
                shutil.rmtree(old, ignore_errors=True)
        word = secrets.token_urlsafe(24)
        making = Path(tempfile.mkdtemp(prefix="making-", dir=place))
        fresh = making / "data"
        try:
            private(making / "password", word)
            account.own(making / "password")
            account.own(making)
            self._run(
                [
                    self.binaries.program("initdb"),
                    *("-D", str(fresh), "-U", ADMIN, "-E", "UTF8", "--no-locale"),
                    *("-A", "scram-sha-256", f"--pwfile={making / 'password'}", "--no-sync"),
                ]
            )
            self.configure(fresh)
            self._run(
                [self.binaries.program("postgres"), "--single", "-D", str(fresh), "postgres"],
                f"CREATE ROLE {LEARNER} LOGIN CREATEDB IN ROLE pg_monitor PASSWORD '{word}'\n",
            )
            private(self._password, word)
            fresh.rename(self.path)  # from here on it is whole
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def configure(self, folder: Path | None = None) -> None:
        """Write the settings and who may connect: by password, from this machine only."""
        folder = folder or self.path
        for name, text in (("postgresql.conf", _SETTINGS), ("pg_hba.conf", _ACCESS)):
            path = folder / name
            path.write_text(text, "utf-8")
            self.binaries.account.own(path)

    def _run(self, command: list[str], text: str = "") -> None:
        account = self.binaries.account
        name = Path(command[0]).name
        try:
            done = subprocess.run(
                [*account.prefix, *command],
                check=False,
                input=text,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                env=environment(),
                cwd=self.path.anchor,
                **account.options,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServerError(
                f"{name} did not run: {error}. Is {self.path.parent} full?"
            ) from error
        wrong = [one for one in done.stderr.splitlines() if "ERROR" in one or "FATAL" in one]
        if done.returncode or wrong:
            last = (wrong or done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise ServerError(
                f"{name} failed: {last}. Make room in {self.path.parent}, or set LOOPCLINIC_HOME "
                "to a folder elsewhere.",
                done.stderr,
            )


def place_for(account: Account, state: Path) -> Path:
    """Return the folder for what the server's account must reach: `state`, unless it is closed to it.

    Then (root's home is closed to others) it is a folder of ours in /var/tmp, which `state`
    remembers.
    """
    if account.user is not None:
        # Others pass through it; the files in it that hold secrets are closed themselves.
        state.chmod(0o711)
    if account.can_enter(state):
        return state
    return _elsewhere(state)


def _elsewhere(state: Path) -> Path:
    note = state / "place"
    if note.exists():
        place = Path(note.read_text("utf-8").strip())
        # Nobody else's folder, should somebody have put one in its place.
        if place.is_dir() and not place.is_symlink() and place.stat().st_uid == os.geteuid():
            return place
    root = Path("/var/tmp")  # noqa: S108 - made by mkdtemp; unlike /tmp it outlives a reboot
    if not root.is_dir():
        root = Path(tempfile.gettempdir())
    _clear(root)
    place = Path(tempfile.mkdtemp(prefix=_PLACE, dir=root))
    place.chmod(0o711)
    private(place / "state-folder", str(state))
    private(note, str(place))
    return place


def _clear(root: Path) -> None:
    """Remove places of ours whose state folder was deleted."""
    for place in root.glob(f"{_PLACE}*"):
        with contextlib.suppress(OSError):
            if place.stat().st_uid == os.geteuid() and not place.is_symlink():
                state = Path((place / "state-folder").read_text("utf-8").strip())
                if not (state / "place").exists():
                    shutil.rmtree(place, ignore_errors=True)


def address(where: Mapping[str, Any], database: str, *, role: str = LEARNER) -> str:
    """Return the address of one database on the server that `where` tells port and password of."""
    # Without sslmode, a client asks for TLS first: a round trip on every connection.
    return (
        f"postgresql://{role}:{where['password']}@127.0.0.1:{where['port']}/{quote(database)}"
        "?sslmode=disable"
    )


def private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    file, name = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)  # mode 0600
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    Path(name).replace(path)


def environment() -> dict[str, str]:
    """Return our environment without PostgreSQL's own variables, in the C locale."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
