"""The kit's virtual environment: creates it once, and checks quickly that it is complete.

An environment is a folder `.venv` (or `.venv-3.12` beside it, where PYTHON names another Python)
with a record of what was installed into it.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lockfile
from installer import (
    LOCK,
    PYPROJECT,
    ROOT,
    UNREACHABLE,
    WINDOWS,
    SetUpError,
    fetch_uv,
    from_wheelhouse,
    run_uv,
    say,
    with_pips_index,
    without_venv,
)

sys.path.insert(0, str(ROOT / "src"))  # the kit itself is not installed yet
from loopclinic.tried_pythons import own_version, untried


def main(arguments: Sequence[str]) -> int:
    """Prepare the part named first, then become what follows `--`; return the exit status."""
    part, *rest = arguments or ["kit"]
    command = rest[1:] if rest[:1] == ["--"] else rest
    if part not in lockfile.PARTS:
        parts = ", ".join(lockfile.PARTS)
        print(f"There is no part {part!r}: name one of {parts}.", file=sys.stderr)
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
    version = "{}.{}".format(*sys.version_info)
    lines = [line for line in settings.splitlines() if line.startswith("version")]
    has = [line.split("=")[1].strip() for line in lines]
    same = any(one == version or one.startswith(f"{version}.") for one in has)
    # The version alone does not tell a free-threaded build from the other; the folder's name does.
    packages = sysconfig.get_path("purelib", "venv", {"base": str(default)})
    if (same and Path(packages).is_dir()) or not os.environ.get("PYTHON"):
        return default
    return ROOT / f".venv-{own_version()}"


class Environment:
    """One virtual environment of this clone, and the record of what stands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ("Scripts/python.exe" if WINDOWS else "bin/python")
        self.record = folder / "loopclinic-set-up.json"

    def prepare(self, part: str) -> None:
        """Make what is missing; return at once where nothing is. SetUpError names what this computer lacks."""
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
        if environ.pop("PYTHONDONTWRITEBYTECODE", None):
            # Compiled anew at every start, JupyterLab and each kernel take three times as long. It is
            # kept in our own folder, so that what the variable is set for stays true elsewhere.
            environ.setdefault("PYTHONPYCACHEPREFIX", str(self.folder / "bytecode"))
        line = [str(self.python), *command]
        sys.stdout.flush()
        if not WINDOWS:
            os.execve(self.python, line, environ)  # noqa: S606 - our own interpreter
        # exec there starts a second process and gives the prompt back at once.
        return subprocess.call(line, env=environ)

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
        difference = untried(PYPROJECT.read_text(encoding="utf-8"))
        if difference:
            say(f"  Untried: {difference}.")
        if not self.python.exists() or self._recorded().get("root") != str(ROOT):
            make_folder(self.folder)
        known = self._recorded() if self.record.exists() else {}
        # Until the end the record stays away: an interrupted set-up is made anew, not repaired.
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
        """Install from uv's cache alone if that suffices, else from `wheelhouse/`, else from the network."""
        say("  packages: about 140 MB to fetch if this computer has none of them yet …")
        for source in [["--offline"], *from_wheelhouse()]:
            if run_uv(uv, self.python, [*what, *source], environ=os.environ):
                return
        if from_wheelhouse():
            say("  wheelhouse/ lacks a package for this Python or system: asking the network …")
        run_uv(uv, self.python, what, environ=with_pips_index(), failure=UNREACHABLE)


def digest(part: str) -> str:
    """Return what identifies an installation of `part`: the same digest means nothing to do."""
    found = hashlib.sha256(lockfile.part(LOCK, part).encode())
    found.update(PYPROJECT.read_bytes())
    found.update(f"{ROOT}".encode(errors="surrogateescape"))
    return found.hexdigest()


def make_folder(folder: Path) -> None:
    """Make an empty virtual environment, in place of whatever half of one is there."""
    if folder.is_symlink() or folder.is_file():
        raise SetUpError(f"{folder} is in the way: remove it, then run the same command again.")
    if folder.exists():
        shutil.rmtree(folder)
    try:
        import venv  # some Pythons have none
    except ImportError as error:
        raise SetUpError(without_venv()) from error
    # pip comes from the lock like everything else; without it this takes 0.1 s instead of 4.
    venv.create(folder, with_pip=False, symlinks=not WINDOWS)


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the clone's set-up lock; a second set-up waits until the first is done."""
    with path.open("a+b") as handle:
        told = False
        while not taken(handle.fileno()):
            if not told:
                say("Another set-up is at work in this folder; waiting for it …")
            told = True
            time.sleep(0.2)
        yield  # closing the file gives the lock back, however this process ends


def taken(descriptor: int) -> bool:
    """Take the lock on an open file; False while another process holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt  # there only

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # not on Windows

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
