"""Installs packages with a pinned uv, with the proxy, certificate and index settings that it needs.

uv installs in seconds what takes pip minutes. pip fetches it once, and it is kept in the user's
cache, so that a second clone needs no network. Nor does a clone with a `wheelhouse/` (wheelhouse.py).
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import lockfile

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
PYPROJECT = ROOT / "pyproject.toml"
WHEELHOUSE = ROOT / "wheelhouse"
WINDOWS = sys.platform == "win32"
UNREACHABLE = (
    "The packages could not be fetched: connect this computer to the network once, "
    "then run the same command again"
)


class SetUpError(Exception):
    """The set-up can't go on; the message names the repair."""


def cache_folder() -> Path:
    """Return the user's cache folder of the kit (the same that `loopclinic uninstall` removes)."""
    if WINDOWS:
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
        return Path(local) / "loopclinic" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/loopclinic"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loopclinic"


def fetch_uv() -> Path:
    """Return the pinned uv, from the user's cache or else by pip; SetUpError without pip or a network."""
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
    for source in [*from_wheelhouse(), []]:
        done = subprocess.run(
            [python, *command, *source],
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


def from_wheelhouse() -> list[list[str]]:
    """Return the options with which pip and uv take packages from `wheelhouse/`, if there is one."""
    return [["--no-index", "--find-links", str(WHEELHOUSE)]] if WHEELHOUSE.is_dir() else []


def pip_python(folder: Path) -> str:
    """Return a Python that has pip: this one, or a bare environment made for the purpose."""
    probe = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return sys.executable
    bare = folder / "bare"
    make = [sys.executable, "-m", "venv", str(bare)]
    if subprocess.run(make, capture_output=True, check=False).returncode:
        raise SetUpError(without_venv())
    return str(bare / ("Scripts/python.exe" if WINDOWS else "bin/python"))


def run_uv(
    uv: Path, python: Path, what: list[str], *, environ: Mapping[str, str], failure: str = ""
) -> bool:
    """Run `uv pip install` with its progress shown but not its list of packages; True if it did.

    If not, SetUpError, whose message begins with `failure`, or False without one.
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
        command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        index = asked.stdout.strip() if asked.returncode == 0 else ""
    if index:
        environ["UV_DEFAULT_INDEX"] = index
    return environ


def because(failure: str, said: list[str]) -> str:
    """Return `failure` with the end of what the installer said."""
    reason = " / ".join(line.strip() for line in said if line.strip())
    return f"{failure}. The installer said: {reason[-400:] or 'nothing'}"


def without_venv() -> str:
    """Say what a Python that was taken apart lacks."""
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    return (
        f"{sys.executable} has neither pip nor venv: on Debian and Ubuntu run "
        f"apt install {package}, then run the same command again."
    )


def say(line: str) -> None:
    """Print progress where it can't mix with a command's own output."""
    print(line, file=sys.stderr, flush=True)
