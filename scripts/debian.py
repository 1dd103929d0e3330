"""Make a Debian unstable chroot, to test with Python versions that an older Debian lacks.

The folder is made once by debootstrap and kept in the user's cache; remove it to have it made anew.
Each command there has mounts and processes of its own (namespaces), which end with it: no mount and
no process is left behind, however it or its caller ends.
"""

import ast
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from installation import one_at_a_time
from installer import ROOT, say

APART = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"),
)
# No exec: the shell is the first process there, and the first process has to reap orphans.
ENTER = """\
mount -t proc proc "$0/proc" &&
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$0/dev/pts" || exit
chroot "$0" "$@"
exit
"""
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
HERE_TOO = (Path("/etc/resolv.conf"), Path("/etc/hosts"), BUNDLE)
PATIENCE = "600"
"""Seconds for debootstrap, which takes one minute; a network without an answer takes forever."""
TOLD = re.compile(r"(PIP|UV|SSL|GIT_SSL)_\w+|\w+_(PROXY|CA_BUNDLE)", re.IGNORECASE)
"""Environment variables that say how to reach a package index."""


class UnavailableError(Exception):
    """Something can't be had on this machine; the message says what, and why."""


@contextmanager
def debian_unstable() -> Iterator["Debian"]:
    """Yield the folder with Debian unstable, and a fresh clone of this kit in it, or raise UnavailableError."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise UnavailableError("only root can make and enter a folder with Debian unstable")
    if platform.freedesktop_os_release().get("ID") != "debian":
        raise UnavailableError("debootstrap trusts Debian's keys on Debian only")
    refused = failure([*APART, "true"])
    if refused:
        raise UnavailableError(f"this machine refuses namespaces ({refused})")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loopclinic-ci"
    cache.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(cache / "lock"):
        folder = cache / "debian-unstable"
        for left in [*cache.glob("half-*"), *folder.glob("srv/kit-*")]:  # by a run that was killed
            remove(left)
        if not folder.exists() or broken(folder):
            remove(folder)
            bootstrap(folder)
        with tempfile.TemporaryDirectory(dir=folder / "srv", prefix="kit-") as scratch:
            Path(scratch).chmod(0o755)  # root's PostgreSQL runs as another account
            clone(Path(scratch))
            yield Debian(folder, Path(scratch))


def clone(scratch: Path) -> None:
    """Clone what is committed of this kit into `scratch`."""
    trust = scratch / "gitconfig"  # the checkout may belong to another account than root
    trust.write_text("[safe]\n\tdirectory = *\n", encoding="utf-8")
    command = ["git", "clone", "-q", "--no-local", "--depth=1", str(ROOT), f"{scratch}/kit"]
    refused = failure(command, {**os.environ, "GIT_CONFIG_GLOBAL": str(trust)})
    if refused:
        raise UnavailableError(f"no clone of the kit could be made ({refused})")


def bootstrap(folder: Path) -> None:
    """Make `folder` whole, or not at all."""
    if shutil.which("debootstrap") is None:
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "debootstrap"]
        refused = failure(["apt-get", "update", "-qq"]) or failure(install)
        if refused:
            raise UnavailableError(f"debootstrap could not be installed ({refused})")
    say("Fetching Debian unstable (once, about a minute) …")
    half = Path(tempfile.mkdtemp(dir=folder.parent, prefix="half-"))
    half.chmod(0o755)
    make = ["debootstrap", "--variant=minbase", "--include=ca-certificates,git,make,procps"]
    refused = failure(["timeout", PATIENCE, *APART, *make, "sid", half])
    if not refused:
        refused = broken(half)
    if refused:
        remove(half)
        raise UnavailableError(f"debootstrap gave no Debian unstable that works ({refused})")
    half.rename(folder)


def broken(folder: Path) -> str:
    """Return why nothing runs in `folder`; nothing if all is well."""
    return failure(inside(folder, ["sh", "-c", "git --version && make --version && ps 1"]))


def remove(folder: Path) -> None:
    """Remove a folder, unless something is mounted below it."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        point = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), line.split()[4])
        if Path(point).is_relative_to(folder.resolve()):
            raise UnavailableError(f"{point} is mounted: unmount it, then remove {folder}")
    subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)


def failure(command: Sequence[str | Path], environ: Mapping[str, str] = os.environ) -> str:
    """Run `command`; return the last line that it wrote if it failed, nothing if it did not."""
    try:
        done = subprocess.run(
            command,
            env={**environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        return str(error)
    lines = done.stdout.strip().splitlines() or [f"exit status {done.returncode}"]
    return lines[-1] if done.returncode else ""


def inside(folder: Path, command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command` with `folder` as its root."""
    return [*APART, "sh", "-c", ENTER, str(folder), *command]


class Debian:
    """A folder with Debian unstable, and in it a clone of the kit."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder, self.root = folder, scratch / "kit"
        self._home = Path("/") / scratch.relative_to(folder)
        for file in HERE_TOO:
            bring(folder, file)
        self._environ = {
            **reachable(folder, network_settings()),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "CI": "true",
            "MPLBACKEND": "agg",
            "LOOPCLINIC_HOME": str(self._home / "state"),
            "PYTHONPYCACHEPREFIX": str(self._home / "bytecode"),
        }
        self._apt("update")

    def find(self, version: str) -> tuple[str, str]:
        """Return the command and the full version of one Python, as new as the network has it.

        UnavailableError if there is none.
        """
        packages = [f"python{version}", f"python{version}-venv"]
        self._apt("install", "-y", "--no-install-recommends", *packages)
        code = "import ensurepip, platform, ssl, venv; print(platform.python_version())"
        line, environ = inside(self.folder, [packages[0], "-c", code]), self._environ
        done = subprocess.run(line, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(f"Debian unstable has no {packages[1]}, or it can't be fetched")
        return packages[0], done.stdout.strip()

    def _apt(self, *arguments: str) -> None:
        # A mirror may be late; debootstrap does not mind either.
        command = ["apt-get", "-qq", "-o", "Acquire::Check-Valid-Until=false", *arguments]
        refused = failure(inside(self.folder, command), self._environ)
        if refused:
            failed = f"apt-get {arguments[0]} failed in Debian unstable ({refused})"
            say(f"{failed}; going on with what is there")

    def run(self, command: Sequence[str]) -> int:
        """Run a command in the clone; return its exit status."""
        line = inside(self.folder, ["env", f"--chdir={self._home / 'kit'}", *command])
        null = subprocess.DEVNULL
        return subprocess.run(line, env=self._environ, stdin=null, check=False).returncode


def bring(folder: Path, file: Path) -> bool:
    """Copy a file of this machine to the same place below `folder`; False if there is none."""
    if not file.is_file():
        return False
    target = folder / file.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # it may be a link, which leads out of the folder
    shutil.copyfile(file, target)
    return True


def reachable(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """Return the settings without what is out of reach below `folder`; files are brought there."""

    def is_reachable(word: str) -> bool:
        if word.startswith("file:"):
            return False
        return not word.startswith(("/", "~")) or bring(folder, Path(word))

    kept = {name: " ".join(filter(is_reachable, text.split())) for name, text in settings.items()}
    return {name: text for name, text in kept.items() if text}


def network_settings() -> dict[str, str]:
    """Return what this machine was told about indexes, proxies and certificates, as variables."""
    told = {name: value for name, value in os.environ.items() if TOLD.fullmatch(name)}
    return {"SSL_CERT_FILE": str(BUNDLE), **pip_settings(), **told}


def pip_settings() -> dict[str, str]:
    """Return what pip was told in its files, as the environment variables that say the same."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    asked = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    found = re.findall(r"^(?:global|install|download)\.([\w-]+)=(.+)$", asked.stdout, re.MULTILINE)
    told = {name.upper().replace("-", "_"): ast.literal_eval(value) for name, value in found}
    return {f"PIP_{name}": str(value) for name, value in told.items()}
