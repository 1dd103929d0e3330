"""Solve the dependencies of pyproject.toml anew and write requirements.lock.

`lock.py` keeps what is pinned where it still fits; `lock.py --upgrade` takes the newest of all, and
`lock.py --check` only says whether the lock still answers to pyproject.toml.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from installer import LOCK, ROOT, fetch_uv
from lockfile import MARK, blocks

HEADER = f"""\
# Every package of the kit, pinned, with its hashes. Written by `make lock` from pyproject.toml.
# A learner's environment takes the lines above the mark "{MARK.strip("# -")}".
"""


def main(arguments: list[str]) -> int:
    """Write the lock, or with `--check` compare it; return the exit status."""
    upgrade = ["--upgrade"] if "--upgrade" in arguments else []
    with tempfile.TemporaryDirectory() as scratch:
        whole = solve(Path(scratch) / "whole", LOCK, ["--extra", "kit", "--extra", "test"], upgrade)
        pinned = Path(scratch) / "pinned"
        pinned.write_text(whole, encoding="utf-8")
        kit = solve(Path(scratch) / "kit", pinned, ["--extra", "kit"], [])
    wanted = [block for block in blocks(kit) if "'nowhere'" not in block]
    rest = [block for block in blocks(whole) if block not in wanted and "'nowhere'" not in block]
    text = "\n".join([HEADER.rstrip(), *wanted, MARK, *rest]) + "\n"
    if "--check" in arguments:
        if heads(text) == heads(LOCK.read_text(encoding="utf-8")):
            return 0
        print("requirements.lock does not answer to pyproject.toml: run make lock", file=sys.stderr)
        return 1
    LOCK.write_text(text, encoding="utf-8")
    print(f"{LOCK.name}: {len(wanted)} packages for the kit, {len(rest)} more for its tests")
    return 0


def heads(text: str) -> list[str]:
    """Return what is pinned, without hashes: registries add files to old releases."""
    return [line for line in text.splitlines() if "--hash" not in line]


def solve(output: Path, preferred: Path, extras: list[str], more: list[str]) -> str:
    """Return the solution of pyproject.toml with `extras`, staying near the pins of `preferred`."""
    if preferred.exists():
        output.write_text(preferred.read_text(encoding="utf-8"), encoding="utf-8")
    command = [str(fetch_uv()), "pip", "compile", "pyproject.toml", *extras, "--group", "set-up"]
    command += ["--universal", "--python-version", "3.11", "--generate-hashes", "--quiet"]
    command += ["--no-header", "--no-annotate", "--no-emit-package", "loopclinic", *more]
    subprocess.run([*command, "--output-file", str(output)], cwd=ROOT, check=True)
    return output.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
