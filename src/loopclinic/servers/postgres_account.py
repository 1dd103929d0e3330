"""Which account of this machine PostgreSQL runs as: it refuses to run as root.

An ordinary user runs it as themselves. Root runs it as `postgres` or `nobody`, and as a last resort
inside a user namespace, where root stands under another number.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Account", "accounts"]

_NAMES = ("postgres", "nobody")


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
        """The options of `subprocess.Popen` that make a command run as this account."""
        if self.user is None:
            return {}
        return {"user": self.user, "group": self.group, "extra_groups": []}

    def can_enter(self, folder: Path) -> bool:
        """Tell whether the account may pass through `folder` and every folder above it."""
        if self.user is None:
            return True
        folder = folder.resolve()
        return all(self._may_pass(one) for one in (folder, *folder.parents))

    def own(self, path: Path) -> None:
        """Give `path` to the account."""
        if self.user is not None:
            os.chown(path, self.user, self.group if self.group is not None else -1)

    def works(self) -> bool:
        """Tell whether this machine lets us run commands as the account."""
        if self.user is None and not self.prefix:
            return True
        try:
            done = subprocess.run(
                [*self.prefix, "/bin/sh", "-c", ":"],
                check=False,
                capture_output=True,
                timeout=5,
                cwd="/",
                **self.options,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def _may_pass(self, folder: Path) -> bool:
        found = folder.stat()
        if found.st_uid == self.user:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.group:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def accounts() -> Iterator[Account]:
    """Yield the accounts that PostgreSQL may run as here, the best first; only those that work."""
    for account in _candidates():
        if account.works():
            yield account


def _candidates() -> Iterator[Account]:
    if os.name != "posix":
        yield Account("the current user")
        return
    import pwd  # noqa: PLC0415 - POSIX only

    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    me = os.geteuid()
    if me != 0:
        # initdb asks for the name of its user; a container's user may have none.
        for entry in known.values():
            if entry.pw_uid == me:
                yield Account(entry.pw_name)
                return
    else:
        for name in _NAMES:
            if name in known and known[name].pw_uid != 0:
                yield Account(name, known[name].pw_uid, known[name].pw_gid)
    unshare = shutil.which("unshare")
    if unshare and "nobody" in known:
        number = known["nobody"].pw_uid
        yield Account(
            "nobody, in a user namespace", prefix=(unshare, "--user", f"--map-user={number}")
        )
    if me != 0:
        yield Account(f"user {me}")
