"""Run the tests that depend on the Python, a notebook and verdicts on each version in pyproject.toml.

A proof is the tests of what depends on the Python, a notebook, and the verdicts on a shipped lab and its
solution. A Python that this machine lacks comes from Debian unstable, see debian.py; one that can't be
had is listed with the reason, and is no failure. `--tested 3.13` names one whose tests have passed already.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from debian import UnavailableError, debian_unstable
from installer import PYPROJECT, ROOT

from loopclinic.tried_pythons import tried

TESTS = (
    "tests/attached tests/checks tests/export tests/lessons tests/load tests/probe tests/runner tests/scanner "
    "tests/scope tests/labs/bad_labs"
)
"""What reads stacks and loops, and what runs or parses code that others have written."""
NOTEBOOK = "00"
LAB = "01"
HEAD = ("Python", "from", "tests", f"notebook {NOTEBOOK}", f"lab {LAB}", "solution", "seconds")
WHOLE = "import ssl, sys, sysconfig, venv; print(*sys.version_info[:3], sep='.')"
THREADED = "sys.exit(bool(sysconfig.get_config_var('Py_GIL_DISABLED')))"


def main(arguments: Sequence[str]) -> int:
    """Prove each; return 1 if one that was there failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="*", help="only these; all that pyproject.toml names")
    parser.add_argument("--tested", default="", help="leave out the tests of this one")
    parser.add_argument("--table", type=Path, help="write the table to this file, too")
    chosen = parser.parse_args(arguments)
    known = tried(PYPROJECT.read_text(encoding="utf-8"))
    proofs: dict[str, Proof] = {}
    missing = []
    for version in chosen.versions or known:
        found = find(version)
        if found:
            place = Place("this machine", ROOT, run)
            proofs[version] = prove(place, *found, tested=version == chosen.tested)
        else:
            missing.append(version)
    proofs |= elsewhere(missing)
    rows = [proofs[version].row() for version in chosen.versions or known]
    table = aligned([HEAD, *rows])
    print(f"\n{table}")
    if chosen.table:
        chosen.table.parent.mkdir(parents=True, exist_ok=True)
        chosen.table.write_text(f"{table}\n", encoding="utf-8")
    return 1 if any(proof.failed for proof in proofs.values()) else 0


@dataclass(frozen=True)
class Place:
    """Where a Python is proved: a clone of the kit, and how to run a command in it."""

    name: str
    root: Path
    run: Callable[[Sequence[str]], int]


@dataclass
class Proof:
    """What was seen of one Python."""

    version: str
    place: str = ""
    tests: str = ""
    notebook: str = ""
    lab: str = ""
    solution: str = ""
    seconds: float = 0
    failed: bool = False

    def row(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        if not self.place:
            return (self.version, self.tests)
        seen = (self.tests, self.notebook, self.lab, self.solution)
        return (self.version, self.place, *seen, f"{self.seconds:.0f}")


def elsewhere(versions: Sequence[str]) -> dict[str, Proof]:
    """Prove in Debian unstable the versions that this machine lacks."""
    if not versions:
        return {}
    proofs = {}
    try:
        with debian_unstable() as debian:
            place = Place("Debian unstable", debian.root, debian.run)
            for version in versions:
                try:
                    found = debian.find(version)
                except UnavailableError as error:
                    proofs[version] = unproved(version, error)
                else:
                    proofs[version] = prove(place, *found, tested=False)
    except (UnavailableError, OSError) as error:
        left = [version for version in versions if version not in proofs]
        proofs |= {version: unproved(version, error) for version in left}
    return proofs


def unproved(version: str, why: Exception) -> Proof:
    """Say at once, and in the table, why a Python was not proved."""
    print(f"Python {version} is not on this machine, and {why}: not proved", flush=True)
    return Proof(version, tests=f"not proved: not on this machine, and {why}")


def find(version: str) -> tuple[str, str] | None:
    """Return the path and full version of such a Python on this machine, if there is one."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python"))
    for candidate in [sys.executable, *kept, shutil.which(f"python{version}")]:
        if candidate is None:
            continue
        command = [candidate, "-c", f"{WHOLE}; {THREADED}"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if asked.returncode == 0 and asked.stdout.startswith(f"{version}."):
            return str(candidate), asked.stdout.strip()
    return None


def prove(place: Place, python: str, version: str, *, tested: bool) -> Proof:
    """Prove one Python; go on after a failure, so that the table shows all that fails."""
    proof = Proof(version, place.name)
    began = time.monotonic()

    def step(what: str, command: Sequence[str], expected: int = 0) -> bool:
        """Run a command; True if it ended as it should."""
        print(f"\n--- Python {version}, {place.name}: {what}", flush=True)
        since = time.monotonic()
        status = place.run(command)
        right = status == expected
        wrong = "" if right else f", exit status {status} where {expected} is right"
        print(f"--- {time.monotonic() - since:.0f} s{wrong}", flush=True)
        proof.failed |= not right
        return right

    def make(target: str, *more: str) -> list[str]:
        return ["make", target, f"PYTHON={python}", *more]

    def check(*what: str) -> list[str]:
        kit = ["env", f"PYTHON={python}", python, "scripts/set_up.py", "kit", "--"]
        return [*kit, "-m", "loopclinic", "check", *what]

    if step("set-up", make("setup")):
        pages = f"ARGS={NOTEBOOK} --output build/gallery-{version}"
        ran = step(f"notebook {NOTEBOOK}", make("gallery", pages))
        proof.notebook = "ran" if ran else "FAILED"
        # 1 is the lab's own fault; 2 would be the kit's.
        refused = step(f"lab {LAB} as shipped, which fails its check", check(LAB), 1)
        proof.lab = "fails, rightly" if refused else "WRONG VERDICT"
        passed = step(f"lab {LAB}, solved", check(LAB, "--solution"))
        proof.solution = "passes" if passed else "WRONG VERDICT"
        if tested:
            proof.tests = "all passed before"
        else:
            report = f"build/tests-{version}.xml"
            tests = f"ARGS=-q --junitxml={report} {TESTS}"
            step("tests of what depends on it", make("test", tests))
            proof.tests = counts(place.root / report)
    else:
        proof.tests = "SET-UP FAILED"
    proof.seconds = time.monotonic() - began
    return proof


def counts(report: Path) -> str:
    """Return how many tests passed, failed and were skipped, from pytest's report."""
    try:
        suite = ET.parse(report).find("testsuite")  # noqa: S314 - written by our own pytest
    except OSError:
        return "DID NOT RUN"
    if suite is None:
        return "DID NOT RUN"
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    bad = f"{failed} FAILED, " if failed else ""
    return f"{bad}{total - skipped - failed} passed, {skipped} skipped"


def run(command: Sequence[str]) -> int:
    """Run a command in this clone, with a state folder of its own; return its exit status."""
    with tempfile.TemporaryDirectory() as state:
        environ = {**os.environ, "LOOPCLINIC_HOME": state}
        environ.pop("VIRTUAL_ENV", None)
        null = subprocess.DEVNULL
        return subprocess.run(command, cwd=ROOT, env=environ, stdin=null, check=False).returncode


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as lines with aligned columns; a row's last cell may be of any length."""
    columns = range(max(map(len, rows)))
    widths = [max((len(row[at]) for row in rows if at < len(row) - 1), default=0) for at in columns]
    lines = ("  ".join(f"{cell:{widths[at]}}" for at, cell in enumerate(row)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
