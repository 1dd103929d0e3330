"""Starts a private PostgreSQL from a copied template; it is stopped and removed when its owner ends.

    state folder/postgres/                 (or a folder in /var/tmp that the server's account may enter)
        template-1a2b3c4d-5e6f/data, made.json      made once under a lock; anew if a copy does not start
        run-x1y2z3/data, log, note.json             of one server; removed by its keeper

The password is random, the same for all servers of a template, and only in files that others can't read.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from loopclinic.paths import state_dir
from loopclinic.servers.postgres.binaries import (
    Account,
    Binaries,
    environment,
    find_binaries,
    key_of,
    telling_line,
)
from loopclinic.servers.server_process import ServerError, free_port, interrupts_held

VARIABLE = "DATABASE_URL"
"""The environment variable with the address of a server of the user's, which is used instead."""
PREFIX = "loopclinic_"
"""What the name of every database and schema of ours begins with."""
ADMIN = "loopclinic"
"""The superuser, with three connections kept free for it."""
LEARNER = "learner"
"""The role of lessons and labs: it can use up its connections without locking the kit out."""
DATABASE = f"{PREFIX}lesson"
"""The database of every server of its own."""

_KEEPER = Path(__file__).with_name("keeper.py")
_MADE, _NOTE = "made.json", "note.json"
_MAKING, _STARTING, _ENDING = 60.0, 30.0, 30.0
_POLL = 0.002
_TRIES = 10
_PORT_TAKEN = "could not create any TCP/IP sockets"
"""In English, since it is started in the C locale."""
_NEW = 120.0
"""Seconds after which a folder without a note is no longer being made."""
_PLACE = "loopclinic-postgres-"
_SETTINGS = Path(__file__).with_name("postgresql.conf").read_text("utf-8")
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


_HELD: "list[Server]" = []
"""Kept, or Python would warn of processes that outlive what started them."""


class Server:
    """A server of this process's own; `label` is what `status` shows.

    Started by `start()`; ended by `close()` and by the end of this process, however that comes. One that
    is `held` outlives this process and ends by `down`.
    """

    name = DATABASE
    kind: Literal["database", "schema"] = "database"

    def __init__(self, label: str, *, held: bool = False) -> None:
        self.label = label
        self.held = held
        self.note: dict[str, Any] = {}
        """Where it is and whose, as `servers()` tells others."""
        self._keeper: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """The address of its database, once it was started."""
        return address(self.note)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended since."""
        processes = (self._keeper, self._server)
        return all(one is not None and one.poll() is None for one in processes)

    def start(self) -> Self:
        """Start a server on a copy of the template, made where there is none that works; ServerError if none starts."""
        try:
            said = self._start(state_folder())
        except OSError as error:
            raise _unusable(error) from error
        if said:
            raise ServerError(f"PostgreSQL does not start: {telling_line(said)}.", said)
        return self

    def close(self) -> None:
        """End the server, rolling back what is open; its keeper removes its files. Idempotent."""
        keeper, self._keeper = self._keeper, None
        server, self._server = self._server, None
        if keeper is None:
            return
        assert keeper.stdin is not None
        keeper.stdin.close()
        if server is not None and keeper.poll() is not None:
            server.kill()  # the keeper was killed: its files are removed by the next start
        for one in (server, keeper):
            if one is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    one.wait(_ENDING)

    def _start(self, state: Path) -> str:
        """Return what went wrong, nothing if it runs."""

        def template_of(binaries: Binaries) -> _Template:
            return _Template(binaries, place_for(binaries.account, state))

        binaries = find_binaries(
            lambda account: place_for(account, state),
            lambda one: template_of(one).read().get("version", ""),
        )
        template = template_of(binaries)
        _remove_orphans(template.place)
        made = template.read()
        if made and not self._launch(template, made):
            return ""
        with _locked(state):
            # Unless another process has made it meanwhile.
            if (now := template.read()) in ({}, made):
                now = template.make()
            return self._launch(template, now)

    def _launch(self, template: "_Template", made: Mapping[str, str]) -> str:
        """Start a server on a copy of the template; return what went wrong, nothing if it runs."""
        folder = template.place / f"run-{secrets.token_hex(6)}"
        psutil = importlib.util.find_spec("psutil")  # imported by the keeper alone
        packages = str(Path(psutil.origin).parents[1]) if psutil and psutil.origin else ""
        with interrupts_held():
            # First, so that nothing is left if this process is killed in the next moment.
            self._keeper = keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_KEEPER), str(folder), packages],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder.anchor,
                env=environment(),
                start_new_session=True,
            )
        try:
            folder.mkdir()
            folder.chmod(0o711)  # its files are closed themselves
            _copy(template.folder / "data", folder / "data", template.binaries.account)
            self.note = {"password": made["password"], "keeper": keeper.pid}
            said = self._serve(template.binaries, folder)
        except OSError as error:
            said = str(error)
        except BaseException:
            self.close()
            raise
        if said:
            self.close()
        elif self.held and keeper.stdin is not None:
            keeper.stdin.write(b"stay")
            keeper.stdin.flush()
            _HELD.append(self)
        return said

    def _serve(self, binaries: Binaries, folder: Path) -> str:
        log, said = folder / "log", ""
        for _ in range(_TRIES):
            port = free_port()
            log.touch(0o600)
            with log.open("wb") as out, interrupts_held():
                self._server = server = subprocess.Popen(
                    [*binaries.command("postgres"), "-D", str(folder / "data"), "-p", str(port)],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    cwd=folder.anchor,
                    env=environment(),
                    start_new_session=True,
                    **binaries.account.options,
                )
            if _ready(server, folder / "data" / "postmaster.pid"):
                self.note |= {
                    "pid": os.getpid(),
                    "label": self.label,
                    "held": self.held,
                    "way": binaries.way,
                    "version": binaries.version,
                    "binaries": str(binaries.folder),
                    "account": binaries.account.name,
                    "port": port,
                    "since": time.time(),
                }
                write_private(folder / _NOTE, json.dumps(self.note))
                return ""
            said = log.read_text("utf-8", "replace").strip()[-4000:]
            # Between finding a port and binding it, another may take it.
            if _PORT_TAKEN not in said:
                break
        return said or "it said nothing"


def _copy(source: Path, target: Path, account: Account) -> None:
    """Copy a data folder file by file: half the time of `shutil.copytree`, and there are 300."""
    for parent, _, names in os.walk(source):
        folder = target / Path(parent).relative_to(source)
        folder.mkdir(0o700)
        for name in names:
            with Path(parent, name).open("rb") as old, (folder / name).open("xb") as new:
                new.write(old.read())
        account.own(folder, *(folder / name for name in names))


def _ready(server: "subprocess.Popen[bytes]", status: Path) -> bool:
    """Wait until a server answers; tell whether it does."""
    deadline = time.monotonic() + _STARTING
    while server.poll() is None and time.monotonic() < deadline:
        # As pg_ctl does: the eighth line is the server's status.
        with contextlib.suppress(OSError, UnicodeDecodeError):
            lines = status.read_text("utf-8").splitlines()
            if lines[:1] == [str(server.pid)] and "".join(lines[7:8]).strip() == "ready":
                return True
        time.sleep(_POLL)
    return False


def address(note: Mapping[str, Any], role: str = LEARNER) -> str:
    """Return the address of the lesson's database on the server of this note."""
    # Without sslmode, a client asks for TLS first: a round trip on every connection.
    where = f"127.0.0.1:{note['port']}/{DATABASE}?sslmode=disable"
    return f"postgresql://{role}:{note['password']}@{where}"


def servers() -> list[dict[str, Any]]:
    """Return the notes of this user's servers that run, with `bytes` and `folder`; passwords included."""
    found = [
        {**note, "bytes": _size(folder), "folder": str(folder)}
        for place in _places(state_folder())
        for folder in place.glob("run-*")
        if _keeps(note := _read_note(folder), folder)
    ]
    return sorted(found, key=lambda note: float(note["since"]))


def end(notes: Iterable[Mapping[str, Any]]) -> None:
    """End the servers of these notes, whoever uses them; ServerError if one does not end."""
    notes = list(notes)
    for note in notes:
        with contextlib.suppress(OSError):
            os.kill(note["keeper"], signal.SIGTERM)
    deadline = time.monotonic() + _ENDING
    while left := [note["keeper"] for note in notes if Path(note["folder"]).exists()]:
        if time.monotonic() > deadline:
            raise ServerError(f"A server of PostgreSQL did not end: kill process {left[0]}.")
        time.sleep(0.01)


def remove() -> list[Path]:
    """End this user's servers and remove all that is kept of PostgreSQL, or raise ServerError; return the folders."""
    state = state_folder()
    end(servers())
    removed = []
    for path in reversed(_places(state)):
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise ServerError(f"{path} can't be removed ({error}): remove it by hand.") from error
        removed.append(path)
    return removed


def state_folder() -> Path:
    """Return the folder of PostgreSQL's state, made if missing; others can't read in it. ServerError if it can't be."""
    try:
        folder = state_dir() / "postgres"
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unusable(error) from error
    return folder.resolve()


class _Template:
    """A data folder copied for each server, not a template database; with one database, to have few files."""

    def __init__(self, binaries: Binaries, place: Path) -> None:
        settings = hashlib.sha256((_SETTINGS + _ACCESS).encode()).hexdigest()[:8]
        self.binaries = binaries
        self.place = place
        program = key_of(binaries.folder, binaries.account.name)
        self.folder = place / f"template-{program}-{settings}"

    def read(self) -> dict[str, str]:
        """Return its `version` and `password`, or {} if it is missing or damaged."""
        try:
            made: dict[str, str] = json.loads((self.folder / _MADE).read_text("utf-8"))
            return made if made["digest"] == _digest(self.folder / "data") else {}
        except (OSError, ValueError, LookupError, TypeError):
            return {}

    def make(self) -> dict[str, str]:
        """Make the template, remove those of other binaries and settings, and return what `read` does.

        ServerError if initdb or the server failed.
        """
        for old in (*self.place.glob("template-*"), *self.place.glob("unfinished-*")):
            shutil.rmtree(old, ignore_errors=True)
        password, run = secrets.token_urlsafe(24), partial(self.binaries.run, within=_MAKING)
        making = Path(tempfile.mkdtemp(prefix="unfinished-", dir=self.place))
        try:
            given, data = making / "given", making / "data"
            write_private(given, password)
            self.binaries.account.own(given, making)
            run(
                *("initdb", "-D", str(data), "-U", ADMIN, "-E", "UTF8", "--no-locale"),
                *("-A", "scram-sha-256", f"--pwfile={given}", "--no-sync", "--wal-segsize=1"),
            )
            given.unlink()
            (data / "postgresql.conf").write_text(_SETTINGS, "utf-8")
            (data / "pg_hba.conf").write_text(_ACCESS, "utf-8")
            for database, *statements in (
                (
                    "template1",
                    f"CREATE ROLE {LEARNER} LOGIN CREATEDB IN ROLE pg_monitor PASSWORD '{password}'",
                    f"ALTER DATABASE postgres RENAME TO {DATABASE}",
                    f"ALTER DATABASE {DATABASE} OWNER TO {LEARNER}",
                ),
                (DATABASE, "ALTER DATABASE template0 IS_TEMPLATE false", "DROP DATABASE template0"),
                (DATABASE, "ALTER DATABASE template1 IS_TEMPLATE false", "DROP DATABASE template1"),
            ):
                text = "".join(f"{one}\n" for one in statements)
                run("postgres", "--single", "-D", str(data), database, text=text)
            making.chmod(0o711)
            version = self.binaries.version
            made = {"version": version, "password": password, "digest": _digest(data)}
            write_private(making / _MADE, json.dumps(made))
            making.rename(self.folder)
        except ServerError as error:
            repair = f"Make room in {self.place}, or set LOOPCLINIC_HOME to a folder elsewhere."
            raise ServerError(f"{error} {repair}", error.detail) from error
        else:
            return made
        finally:
            shutil.rmtree(making, ignore_errors=True)


def _digest(folder: Path) -> str:
    """Return what changes with the size or the time of any file below a folder."""
    files = sorted(Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    found = [(one.name, (stat := one.stat()).st_size, stat.st_mtime_ns) for one in files]
    return hashlib.sha256(repr(found).encode()).hexdigest()


# Folders.


def place_for(account: Account, state: Path) -> Path:
    """Return the folder for what the server's account must reach: `state`, unless it is closed to it.

    Then (root's home is closed to others) it is a folder of ours in /var/tmp, which `state` remembers.
    """
    if account.user is not None:
        # Others pass through it; the files in it that hold secrets are closed themselves.
        state.chmod(0o711)
    if account.can_enter(state):
        return state
    if (known := _places(state))[1:]:
        return known[1]
    root = Path("/var/tmp")  # noqa: S108 - made by mkdtemp; unlike /tmp it outlives a reboot
    if not root.is_dir():
        root = Path(tempfile.gettempdir())
    for old in root.glob(f"{_PLACE}*"):  # of state folders that were deleted
        with contextlib.suppress(OSError):
            if _ours(old) and not Path((old / "of").read_text("utf-8"), "place").exists():
                shutil.rmtree(old, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=_PLACE, dir=root))
    place.chmod(0o711)
    write_private(place / "of", str(state))
    write_private(state / "place", str(place))
    return place


def _places(state: Path) -> list[Path]:
    """Return the folders in which servers may lie: `state`, and the one that it remembers."""
    found = [state]
    with contextlib.suppress(OSError):
        place = Path((state / "place").read_text("utf-8"))
        if _ours(place):
            found.append(place)
    return found


def _ours(place: Path) -> bool:
    """Tell whether this is no folder that somebody else has put in the place of ours."""
    return place.is_dir() and not place.is_symlink() and place.stat().st_uid == os.geteuid()


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout  # takes its time to import

    lock = state / "template.lock"
    try:
        with FileLock(lock, timeout=2 * _MAKING):
            yield
    except Timeout:
        raise ServerError(
            f"Another process has been making PostgreSQL's template for {2 * _MAKING:g} s: end the "
            f"one that holds {lock}, then try again."
        ) from None


def _remove_orphans(place: Path) -> None:
    """End the servers whose keeper was killed, and remove their folders."""
    for folder in place.glob("run-*"):
        with contextlib.suppress(OSError):  # its keeper removes it meanwhile
            note = _read_note(folder)
            age = time.time() - folder.stat().st_mtime
            if not _keeps(note, folder) if note else age > _NEW:
                from loopclinic.servers.postgres.keeper import end_server  # imports psutil

                end_server(folder)


def _read_note(folder: Path) -> dict[str, Any]:
    """Return a server's note, {} where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        if isinstance(found := json.loads((folder / _NOTE).read_text("utf-8")), dict):
            return found
    return {}


def _keeps(note: Mapping[str, Any], folder: Path) -> bool:
    """Tell whether the keeper that the note names keeps this folder."""
    import psutil  # takes its time to import

    try:
        return str(folder) in psutil.Process(note["keeper"]).cmdline()
    except (psutil.Error, KeyError, TypeError):
        return False


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    new = path.with_name(f"{path.name}-{os.getpid()}")
    new.touch(0o600, exist_ok=False)
    new.write_text(text, "utf-8")
    new.replace(path)


def _unusable(error: OSError) -> ServerError:
    return ServerError(
        f"PostgreSQL can't be started ({error}): set LOOPCLINIC_HOME to a folder that you may write to, "
        "with 100 MB of room."
    )
