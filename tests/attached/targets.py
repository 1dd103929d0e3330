"""Starts programs to attach to, on the Pythons of this machine, and says when each is where it should be."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.attached import programs

FILE = Path(programs.__file__)
_DEBIAN = Path.home() / ".cache/loopclinic-ci/debian-unstable"  # what scripts/each_python.py makes


def pythons():
    """Return how each Python from 3.11 to 3.15 is started here, by version; those that are missing are left out."""
    found = {}
    for minor in range(11, 16):
        name = f"python3.{minor}"
        near = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"))
        path = str(near[-1]) if near else shutil.which(name)
        if sys.version_info[:2] == (3, minor):
            found[3, minor] = [sys.executable]
        elif path is not None and not path.startswith(f"{Path.home()}/.pyenv/shims"):
            found[3, minor] = [path]
        elif os.name == "posix" and os.geteuid() == 0 and (_DEBIAN / "usr/bin" / name).exists():
            found[3, minor] = ["chroot", str(_DEBIAN), f"/usr/bin/{name}"]
    return found


@contextlib.contextmanager
def target(name, python=(sys.executable,)):
    """Run a program until the block ends; give its process once it has said that it is ready, or None if it can't run."""
    file = FILE
    if python[0] == "chroot":
        file = Path("/tmp/programs.py")
        (Path(python[1]) / "tmp/programs.py").write_text(FILE.read_text("utf-8"), "utf-8")
    process = subprocess.Popen(
        [*python, str(file), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process if process.stdout.readline() == "ready\n" else None
    finally:
        process.kill()
        process.communicate()
