"""Speed and memory of the scanner on a large tree, and what linters find in the labelled corpus.

    python benchmarks/scanner.py [TREE] [--files 4783] [--linter COMMAND …]

TREE is a folder of installed packages, this environment's own unless given; the first so many files of it
are scanned from nothing, then once more from the cache. Beside it ruff's ASYNC rules and RUF006, and any
other linter that prints `file:line:column: CODE`, such as `--linter 'flake8 --select ASYNC2,ASYNC103,ASYNC104,ASYNC300 --isolated'`.
"""

import argparse
import contextlib
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.scanner.measuring import CORPUS, PARTS, labels, measure  # noqa: E402 - the repository's own tests

PLACE = re.compile(r"^(.+?\.py):(\d+):\d+:? (?:\S+ )?([A-Z]+\d+)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", nargs="?", type=Path, default=Path(sysconfig.get_path("purelib")))
    parser.add_argument("--files", type=int, default=4783)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--linter", action="append", default=[], metavar="COMMAND")
    args = parser.parse_args()
    ruff = shutil.which("ruff", path=sysconfig.get_path("scripts")) or "ruff"
    linters = [f"{ruff} check --isolated --no-cache --select ASYNC,RUF006 --output-format concise"]
    linters += args.linter
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        lines = taken(args.tree, tree, args.files)
        count = sum(1 for _ in tree.rglob("*.py"))
        print(f"{count:,} files, {lines:,} lines of {args.tree}\n")
        home = {**os.environ, "LOOPCLINIC_HOME": str(Path(folder) / "home")}
        jobs = ("--jobs", str(args.jobs)) if args.jobs else ()
        command = (sys.executable, "-m", "loopclinic", "scan", str(tree), *jobs)
        timed("loopclinic, from nothing", (*command, "--format", "json"), count, home)
        timed("loopclinic, from the cache", (*command, "--format", "json"), count, home)
        for linter in linters:
            timed(linter.split()[0].rpartition("/")[2], (*shlex.split(linter), str(tree)), count)
    print()
    for part in PARTS:
        print(f"{part:6} {'loopclinic':12} {measure(CORPUS / part)}")
        for linter in linters:
            name = linter.split()[0].rpartition("/")[2]
            print(f"{part:6} {name:12} {linted(linter, CORPUS / part)}")


def taken(source: Path, target: Path, limit: int) -> int:
    """Copy the first files of a tree, packages in order of their names; return their lines."""
    lines = 0
    for number, file in enumerate(sorted(source.rglob("*.py"))):
        if number >= limit:
            break
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        data = file.read_bytes()
        copy.write_bytes(data)
        lines += data.count(b"\n")
    return lines


def timed(
    name: str, command: tuple[str, ...], count: int, environment: dict[str, str] | None = None
) -> None:
    """Print wall and CPU seconds, and the most memory that all its processes held at once."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    most = largest = 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            held = memory(process.pid)
            most, largest = max(most, sum(held)), max(largest, *held, 0)
            time.sleep(0.05)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{name:28} {seconds:7.1f} s  {cpu:7.1f} s CPU  {count / seconds:7,.0f} files/s"
        f"  {most / 2**20:5.0f} MB together, {largest / 2**20:5.0f} MB the largest process"
    )


def memory(pid: int) -> list[int]:
    """Return the bytes each process of a tree holds, shared pages shared out (PSS) where known."""
    held = []
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for one in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                full = one.memory_full_info()
                held.append(getattr(full, "pss", full.rss))
    return held


def linted(linter: str, part: Path) -> str:
    """Return a linter's recall and precision: any finding on a labelled line counts as right."""
    done = subprocess.run(
        [*shlex.split(linter), str(part)], capture_output=True, text=True, check=False
    )
    found = set()
    for line in done.stdout.splitlines():
        match = PLACE.match(line)
        if match:
            found.add(((ROOT / match[1]).resolve(), int(match[2])))
    wanted = {
        (case.resolve() / file, line): sort
        for case in part.iterdir()
        if case.is_dir()
        for file, line, sort, _ in labels(case)
        if sort != "clean"
    }
    met = found & set(wanted)
    share = {
        sort: sum(1 for place in met if wanted[place] == sort)
        / max(1, sum(1 for one in wanted.values() if one == sort))
        for sort in ("expect", "expect-via")
    }
    precision = len(met) / len(found) if found else 1.0
    return (
        f"recall {share['expect']:.3f} direct, {share['expect-via']:.3f} through calls, "
        f"precision {precision:.3f}"
    )


if __name__ == "__main__":
    main()
