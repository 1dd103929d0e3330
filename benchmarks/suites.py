"""Run test suites of public libraries with and without a loop budget, and compare the outcomes.

    python benchmarks/suites.py [anyio starlette janus …] [--budget 0.1]

Each library comes as source from the package index, with what its tests need, in an environment of its
own. A test whose outcome the budget changes must have stalled its loop: its message is shown. Any
other change is looked at in two more runs without a budget; one that those do not show is a fault of
ours, and the exit status 1. About three minutes.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
SUITES = {
    "anyio": "pytest psutil trustme trio uvloop hypothesis blockbuster pytest-mock pytest-timeout",
    "starlette": "pytest starlette[full] httpx2[zstd] blockbuster trio opentelemetry-sdk",
    "janus": "pytest pytest-asyncio pytest-cov",
}
OURS = "the event loop was stuck"


def main() -> int:
    """Compare each suite with itself; return 1 if anything but a stall changed an outcome."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUITES)}; all")
    stuck = "seconds a test's loop may be stuck"
    parser.add_argument("--budget", type=float, default=0.1, help=stuck)
    args = parser.parse_args()
    wrong = 0
    for name in args.names or SUITES:
        with tempfile.TemporaryDirectory() as room:
            wrong += compared(name, args.budget, Path(room))
    return int(wrong > 0)


def compared(name: str, budget: float, room: Path) -> int:
    """Run one suite without and with a budget; return how many outcomes no stall explains."""
    python, source = prepared(name, room)
    before = outcomes(python, source)
    after = outcomes(python, source, f"--loop-budget={budget}")
    tests = before.keys() | after.keys()
    changed = {test for test in tests if kind(before, test) != kind(after, test)}
    stalled = {test for test in changed if OURS in after.get(test, "")}
    others = changed - stalled
    if others:
        runs = [before, *(outcomes(python, source) for _ in range(2))]
        others = {test for test in others if len({kind(one, test) for one in runs}) == 1}
    counts = Counter(kind(before, test) for test in before)
    told = ", ".join(f"{number} {word}" for word, number in counts.most_common())
    print(f"{source.name}: {told} without a budget; {len(stalled)} stalled for over {budget} s")
    for test in sorted(stalled):
        print(f"  {test}", *after[test].splitlines()[:3], sep="\n      ")
    for test in sorted(others):
        print(f"  NO STALL: {test}: {kind(before, test)}, then {after.get(test, 'not run')}")
    return len(others)


def prepared(name: str, room: Path) -> tuple[Path, Path]:
    """Return the Python of an environment for a library's suite, and the folder of its source."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name]
    subprocess.run([*pip, "-d", room, name], check=True)
    (archive,) = room.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(room, filter="data")
    source = room / archive.name.removesuffix(".tar.gz")
    venv.create(room / "env", with_pip=True)
    python = room / "env/bin/python"
    needs = SUITES[name].split()
    subprocess.run([python, "-m", "pip", "install", "-q", ROOT, source, *needs], check=True)
    return python, source


def outcomes(python: Path, source: Path, *options: str) -> dict[str, str]:
    """Run the suite; return for each test "passed", "skipped", or "failed: " and the message."""
    report = source / "report.xml"
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += [*options, "tests"]
    subprocess.run(command, cwd=source, stdout=subprocess.DEVNULL, check=False)
    found = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by pytest
        told = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                told = f"failed: {child.get('message', '')}"
            elif child.tag == "skipped":
                told = "skipped"
        found[f"{case.get('classname')}::{case.get('name')}"] = told
    return found


def kind(found: dict[str, str], test: str) -> str:
    """Return the outcome of a test without its message."""
    return found.get(test, "not run").partition(":")[0]


if __name__ == "__main__":
    sys.exit(main())
