"""The kit's environment: made once, checked in an instant afterwards.

An environment is a folder `.venv` (or `.venv-3.12` beside it, where PYTHON names another Python)
with a record of what was installed into it. uv does the installing, because it takes seconds where
pip takes minutes; it comes by pip, pinned in the lock like everything else, and is kept in the
user's cache, so that a second clone needs no network.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import lockfile

__all__ = ["ROOT", "Environment", "SetUpError", "cache_folder", "fetch_uv", "main"]

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
WINDOWS = sys.platform == "win32"
UNTRIED = (3, 14)
UNREACHABLE = (
    "The packages could not be fetched: connect this computer to the network once, "
    "then run the same command again"
)


class SetUpError(Exception):
    """The set-up can't go on; the message names the repair."""


def main(arguments: Sequence[str]) -> int:
    """Prepare the part named first, then become what follows `--`; return the exit status."""
    part, *rest = arguments or ["kit"]
    command = rest[1:] if rest[:1] == ["--"] else rest
    if part not in lockfile.PARTS:
        print(f"There is no part {part!r}: name one of {', '.join(lockfile.PARTS)}.", file=sys.stderr)
        return 2
    try:
        environment = Environment(choose_folder())
        environment.prepare(part)
    except SetUpError as error:
        print(f"loopclinic: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; run the same command again to go on.", file=sys.stderr)
        return 130
    if not command:
        print(f"{environment.folder.name} is ready: make lab opens JupyterLab.")
        return 0
    return environment.become(command)


def choose_folder() -> Path:
    """Return `.venv`, or `.venv-3.X` where PYTHON names another version than `.venv` holds."""
    default = ROOT / ".venv"
    try:
        settings = (default / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return default
    wanted = "{}.{}".format(*sys.version_info)
    has = [line.split("=")[1].strip() for line in settings.splitlines() if line.startswith("version")]
    same = any(version == wanted or version.startswith(f"{wanted}.") for version in has)
    return default if same or not os.environ.get("PYTHON") else ROOT / f".venv-{wanted}"


class Environment:
    """One virtual environment of this clone, and the record of what stands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ("Scripts/python.exe" if WINDOWS else "bin/python")
        self.record = folder / "loopclinic-set-up.json"

    def prepare(self, part: str) -> None:
        """Make what is missing; return at once where nothing is.

        Raises:
            SetUpError: something this computer lacks; the message names it.
        """
        wanted = digest(part)
        if self._recorded().get(part) == wanted:
            return
        try:
            with one_at_a_time(ROOT / ".venv.lock"):
                if self._recorded().get(part) != wanted:
                    self._install(part, wanted)
        except PermissionError as error:
            raise SetUpError(
                f"{error.filename or ROOT} can't be written to: "
                "clone the kit into a folder of your own, or change the owner of this one."
            ) from error

    def become(self, command: Sequence[str]) -> int:
        """Run the environment's Python with `command`, in place of this process where possible."""
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        environ = {**os.environ, "VIRTUAL_ENV": str(self.folder), "PATH": path}
        environ.pop("PYTHONHOME", None)
        # PYTHON is this script's own switch; matplotlib's and others' builds read it too.
        environ.pop("PYTHON", None)
        line = [str(self.python), *command]
        if WINDOWS:  # exec there starts a second process and gives the prompt back at once
            return subprocess.call(line, env=environ)
        sys.stdout.flush()
        os.execve(self.python, line, environ)  # noqa: S606 - our own interpreter

    def _recorded(self) -> dict[str, str]:
        if not self.python.exists():
            return {}
        try:
            found = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return dict(found)

    def _install(self, part: str, wanted: str) -> None:
        began = time.monotonic()
        say(f"Setting up {self.folder.name} with Python {sys.version.split()[0]} (once) …")
        if sys.version_info >= UNTRIED:
            say("  This Python is newer than any the kit was tried on: 3.11 to 3.13 were.")
        if not self.python.exists() or self._recorded().get("root") != str(ROOT):
            make_folder(self.folder)
        known = self._recorded() if self.record.exists() else {}
        # Until the end the record stays away: an interrupted set-up is made anew, not mended.
        self.record.unlink(missing_ok=True)
        uv = fetch_uv()
        with tempfile.TemporaryDirectory() as scratch:
            lock = Path(scratch) / f"{part}.lock"
            pins = lockfile.part(LOCK, part).replace(lockfile.pin(LOCK, "uv").block, "")
            lock.write_text(pins, encoding="utf-8")
            self._packages(uv, ["--require-hashes", "--requirement", str(lock)])
        own = ["--no-deps", "--no-build-isolation", "--offline", "--editable", str(ROOT)]
        run_uv(uv, self.python, own, environ=os.environ, failure="The kit itself did not install")
        records = {**known, "root": str(ROOT), part: wanted}
        if part == "test":
            records["kit"] = digest("kit")
        self.record.write_text(json.dumps(records, indent=2), encoding="utf-8")
        say(f"Set up in {time.monotonic() - began:.0f} s.")

    def _packages(self, uv: Path, what: list[str]) -> None:
        """Install from uv's cache alone if that suffices, else from the network."""
        say("  packages: about 110 MB to fetch if this computer has none of them yet …")
        if not run_uv(uv, self.python, [*what, "--offline"], environ=os.environ):
            run_uv(uv, self.python, what, environ=with_pips_index(), failure=UNREACHABLE)


def digest(part: str) -> str:
    """Return what identifies an installation of `part`: the same digest means nothing to do."""
    found = hashlib.sha256(lockfile.part(LOCK, part).encode())
    found.update((ROOT / "pyproject.toml").read_bytes())
    found.update(f"{ROOT}".encode(errors="surrogateescape"))
    return found.hexdigest()


def make_folder(folder: Path) -> None:
    """Make an empty virtual environment, in place of whatever half of one is there."""
    if folder.is_symlink() or folder.is_file():
        raise SetUpError(f"{folder} is in the way: remove it, then run the same command again.")
    if folder.exists():
        shutil.rmtree(folder)
    try:
        import venv
    except ImportError as error:
        raise SetUpError(without_venv()) from error
    # pip comes from the lock like everything else; without it this takes 0.1 s instead of 4.
    venv.create(folder, with_pip=False, symlinks=not WINDOWS)


def without_venv() -> str:
    """Say what a Python that was taken apart lacks."""
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    return (
        f"{sys.executable} has neither pip nor venv: on Debian and Ubuntu run "
        f"apt install {package}, then run the same command again."
    )


def cache_folder() -> Path:
    """Return the user's cache folder of the kit (the same that `loopclinic uninstall` removes)."""
    if WINDOWS:
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
        return Path(local) / "loopclinic" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/loopclinic"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loopclinic"


def fetch_uv() -> Path:
    """Return the pinned uv, from the user's cache or else by pip.

    Raises:
        SetUpError: no pip, or no network.
    """
    pin = lockfile.pin(LOCK, "uv")
    name = "uv.exe" if WINDOWS else "uv"
    for place in (cache_folder() / f"uv-{pin.version}", ROOT / ".venv" / f"uv-{pin.version}"):
        if (place / name).exists():
            return place / name
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue  # a home that can't be written to: keep uv in the environment instead
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            wheel = download(pin, Path(scratch))
            with zipfile.ZipFile(wheel) as archive:
                member = next(one for one in archive.namelist() if one.endswith(f"/scripts/{name}"))
                fresh = Path(scratch) / name
                fresh.write_bytes(archive.read(member))
            fresh.chmod(0o755)
            fresh.replace(place / name)  # at once: a second clone sees all of it or nothing
        return place / name
    raise PermissionError(13, "can't be written to", str(ROOT))


def download(pin: lockfile.Pin, folder: Path) -> Path:
    """Fetch the wheel of `pin` into `folder` by pip, which checks its hash."""
    say(f"  {pin.name} {pin.version}, which fetches the rest …")
    wanted = folder / "wanted.txt"
    wanted.write_text(pin.block, encoding="utf-8")
    command = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--retries", "2", "--require-hashes", "--dest", str(folder), "-r", str(wanted)]
    environ = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    python = pip_python(folder)
    done = subprocess.run(
        [python, *command],
        env=environ,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    for wheel in folder.glob("*.whl"):
        return wheel
    raise SetUpError(because(UNREACHABLE, done.stderr.splitlines()))


def pip_python(folder: Path) -> str:
    """Return a Python that has pip: this one, or a bare environment made for the purpose."""
    probe = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return sys.executable
    bare = folder / "bare"
    made = subprocess.run([sys.executable, "-m", "venv", str(bare)], capture_output=True, check=False)
    if made.returncode:
        raise SetUpError(without_venv())
    return str(bare / ("Scripts/python.exe" if WINDOWS else "bin/python"))


def run_uv(
    uv: Path, python: Path, what: list[str], *, environ: Mapping[str, str], failure: str = ""
) -> bool:
    """Run `uv pip install` with its progress shown but not its list of packages; True if it did.

    Raises:
        SetUpError: it did not; the message begins with `failure`. Without one, False is returned.
    """
    command = [str(uv), "pip", "install", "--python", str(python), *what]
    environ = {**environ, "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"}
    environ.pop("VIRTUAL_ENV", None)
    if not os.access(cache_folder().parent, os.W_OK):
        environ.setdefault("UV_CACHE_DIR", str(ROOT / ".venv" / "uv-cache"))
    kept: list[str] = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            kept.append(line.rstrip())
            if line.lstrip().startswith(("Downloading", "Downloaded", "Prepared", "Building")):
                say(f"  {line.strip()}")
    if process.returncode and failure:
        raise SetUpError(because(failure, kept))
    return process.returncode == 0


def with_pips_index() -> dict[str, str]:
    """Return the environment in which uv asks the index that pip was told of, if it was told of one.

    uv reads no pip.conf, and behind a company's mirror that is all a learner has.
    """
    environ = dict(os.environ)
    if any(name in environ for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX")):
        return environ
    index = environ.get("PIP_INDEX_URL")
    if not index:
        asked = subprocess.run(
            [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
            capture_output=True,
            text=True,
            check=False,
        )
        index = asked.stdout.strip() if asked.returncode == 0 else ""
    if index:
        environ["UV_DEFAULT_INDEX"] = index
    return environ


def because(failure: str, said: list[str]) -> str:
    """Return `failure` with the end of what the installer said."""
    reason = " / ".join(line.strip() for line in said if line.strip())
    return f"{failure}. The installer said: {reason[-400:] or 'nothing'}"


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the clone's set-up lock; a second set-up waits until the first is done."""
    with path.open("a+b") as handle:
        if WINDOWS:
            import msvcrt

            attempt = lambda: msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # noqa: E731
        else:
            import fcntl

            attempt = lambda: fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # noqa: E731
        told = False
        while True:
            try:
                attempt()
                break
            except OSError:
                if not told:
                    say("Another set-up is at work in this folder; waiting for it …")
                told = True
                time.sleep(0.2)
        yield  # closing the file gives the lock back, however this process ends


def say(line: str) -> None:
    """Print progress where it can't mix with a command's own output."""
    print(line, file=sys.stderr, flush=True)
