"""Fetch the kit's packages into `wheelhouse/`, from which `make lab` installs without a network.

They are those of this system and this minor version of Python: run it once on each kind of computer,
the folder collects them all. Options go to `pip download`.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import lockfile
from installer import LOCK, UNREACHABLE, WHEELHOUSE
from packaging.requirements import Requirement


def main(options: Sequence[str]) -> int:
    """Fetch what is missing, checked against the lock's hashes; return the exit status."""
    command = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--dest", str(WHEELHOUSE), *options]
    with tempfile.TemporaryDirectory() as scratch:
        for number, blocks in enumerate(rounds(lockfile.blocks(lockfile.part(LOCK, "kit")))):
            wanted = Path(scratch) / f"{number}.lock"
            wanted.write_text("\n".join(blocks), encoding="utf-8")
            line = [sys.executable, *command, "-r", str(wanted)]
            if subprocess.run(line, check=False).returncode:
                print(f"{UNREACHABLE}.", file=sys.stderr)
                return 1
    wheels = list(WHEELHOUSE.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    version = ".".join(map(str, sys.version_info[:2]))
    print(
        f"wheelhouse: {len(wheels)} packages, {size:.0f} MB. Copy this folder, wheelhouse included, to "
        f"a computer with the same system and Python {version}: make lab needs no network there."
    )
    return 0


def rounds(blocks: Sequence[str]) -> Iterator[list[str]]:
    """Yield what to fetch at once: pip refuses two versions of a package in one call.

    A pin is left out if its marker is true of no patch release of this minor version.
    """
    major, minor = sys.version_info[:2]
    patches = [f"{major}.{minor}.{patch}" for patch in range(100)]
    of_name: dict[str, list[str]] = {}
    for block in blocks:
        pin, *hashes = block.split("\\\n")
        one = Requirement(pin)
        fits = one.marker.evaluate if one.marker is not None else bool
        if any(fits({"python_full_version": it}) for it in patches):
            bare = " ".join([f"{one.name}{one.specifier}", *(it.strip(" \\") for it in hashes)])
            of_name.setdefault(one.name, []).append(bare)
    while of_name:
        yield [pins.pop() for pins in of_name.values()]
        of_name = {name: pins for name, pins in of_name.items() if pins}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
