"""Build sdist and wheel of what is committed into `dist/`, and pass lab 01 with the wheel alone: `make dist`."""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import lockfile
from installer import LOCK, ROOT, UNREACHABLE, WINDOWS, fetch_uv, run_uv, with_pips_index

DIST = ROOT / "dist"
MOST = 4e6
"""Bytes that a wheel may have: the kit's folders are to add 2 MB at most."""


def main() -> int:
    """Build, check and try; return the exit status."""
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = committed(Path(scratch) / "source")
        # The wheel is made from the sdist, so that both are complete.
        build = ["--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
        run([str(fetch_uv()), "build", *build, "--out-dir", str(DIST), str(source)])
        (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
        if wheel.stat().st_size > MOST:
            size = f"{wheel.stat().st_size / 1e6:.1f} MB"
            raise SystemExit(f"{wheel.name} has {size}: find what is too large.")
        try_wheel(wheel, Path(scratch))
    for file in (sdist, wheel):
        print(f"dist/{file.name}: {file.stat().st_size / 1e6:.1f} MB")
    return 0


def committed(folder: Path) -> Path:
    """Lay out what git has as the newest commit, so that nobody's edits and outputs are built."""
    folder.mkdir()
    archive = subprocess.Popen(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE)
    run(["tar", "-x", "-C", str(folder)], stdin=archive.stdout)
    if archive.wait():
        raise SystemExit("git archive failed: make dist builds from a clone.")
    return folder


def try_wheel(wheel: Path, scratch: Path) -> None:
    """Install the wheel with the kit's packages into an empty environment; pass lab 01 in a new folder."""
    home, folder = scratch / "environment", scratch / "kit"
    venv.create(home, with_pip=False, symlinks=not WINDOWS)
    python = home / ("Scripts/python.exe" if WINDOWS else "bin/python")
    pins = scratch / "pins.txt"
    pins.write_text(lockfile.part(LOCK, "kit").replace(lockfile.pin(LOCK, "uv").block, ""), "utf-8")
    packages = ["--require-hashes", "--requirement", str(pins)]
    uv = fetch_uv()
    if not run_uv(uv, python, [*packages, "--offline"], environ=os.environ):
        run_uv(uv, python, packages, environ=with_pips_index(), failure=UNREACHABLE)
    own = ["--no-deps", "--offline", str(wheel)]
    run_uv(uv, python, own, environ=os.environ, failure="The wheel did not install")
    ours = ("LOOPCLINIC_ROOT", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    environ["LOOPCLINIC_HOME"] = str(scratch / "state")
    command = [str(python), "-m", "loopclinic"]
    run([*command, "init", str(folder)], cwd=scratch, env=environ)
    lab = "01_blocking_sleep.py"
    shutil.copy(folder / "solutions" / lab, folder / "labs" / lab)
    run([*command, "check", "01"], cwd=folder, env=environ)
    run([*command, "update"], cwd=folder, env=environ)


def run(command: list[str], **settings: object) -> None:
    """Run a command to its end; end with its name if it fails."""
    if subprocess.run(command, check=False, **settings).returncode:  # type: ignore[call-overload]
        raise SystemExit(f"make dist: this failed: {' '.join(command[:6])} …")


if __name__ == "__main__":
    sys.exit(main())
