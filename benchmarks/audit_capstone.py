"""The figures of lesson 14: a job that hangs, packages half converted, a cancel, three designs at their bound.

    python benchmarks/audit_capstone.py [--rounds 5] [--audits 300]

Interleaved rounds, each design in a process of its own; what half-converted packages did is read from the
recorded trials. About a minute.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from claims import claim  # noqa: E402

from loopclinic.lessons.audit_capstone import LESSON, ladder, story  # noqa: E402
from tests.labs.recorded import SUBMISSIONS, load  # noqa: E402 - the repository's own trials

HALVES = [one for name, one in SUBMISSIONS.items() if name.startswith("14-half_")]
TEAM = SUBMISSIONS["14-half_team_thread_twins__missing-timeout"].file
MODULES = ("jobs", "companies", "models", "responses", "scoring", "processor")
"""In the order of the team's phases."""


async def hang(dsn: str) -> None:
    """Start the job as it ships; print what is seen of it when nothing happens any more, and from outside."""
    job = await story.start_job(dsn)
    try:
        print(await job.idle())
        began = time.perf_counter()
        command = [sys.executable, "-m", "loopclinic", "attach", "--once", str(job.pid)]
        said = await asyncio.to_thread(
            subprocess.run, command, check=False, capture_output=True, text=True
        )
        print(
            f"`loopclinic attach --once` took {time.perf_counter() - began:.1f} s:\n{said.stdout.strip()}"
        )
    finally:
        job.kill()


def ended(dsn: str, package: Path) -> bool:
    """Start a job of this package with thirty audits; return whether it ends, and never stands still for 5 s."""
    story.queued(dsn, 30)
    order = [sys.executable, "-m", "audit", dsn]
    quiet = subprocess.DEVNULL
    job = psutil.Popen(order, cwd=package, stdout=quiet, stderr=quiet)
    used, since = 0.0, time.monotonic()
    while job.poll() is None:
        time.sleep(0.2)
        if (now := sum(job.cpu_times()[:2])) > used + 0.02:
            used, since = now, time.monotonic()
        elif time.monotonic() - since > 5:
            job.kill()
            job.wait()
            return False
    return job.returncode == 0


def restarts(dsn: str, order: Sequence[str]) -> str:
    """Put the team's threads into one module after the other; say after which restart the job ends."""
    assert LESSON.shipped is not None
    ends = []
    with tempfile.TemporaryDirectory() as room:
        package = Path(room) / "package"
        shutil.copytree(LESSON.shipped, package)
        for module in order:
            shutil.copy(TEAM / f"audit/{module}.py", package / "audit")
            ends.append(ended(dsn, package))
    first = ends.index(True) + 1 if True in ends else None
    return (
        f"{', '.join(order)}: ends first after restart {first}, and in {sum(ends)} of {len(ends)}"
    )


def count_above_zero() -> str:
    """Say how many broken packages the team's test would pass."""
    trials = [
        trial
        for one in HALVES
        for trial in load(one.record)["trials"].values()
        if trial["verdict"]["status"] == "not-yet" and "Line" in trial["facts"]
    ]
    passed = sum(trial["facts"]["Line"]["stored"]["rows"] > 0 for trial in trials)
    return f"{passed} of {len(trials)} recorded trials of packages that break a promise store a response."


async def questions() -> str:
    """Print what needs no rounds, and return the address of the database."""
    dsn = await story.database()
    claim(
        '"print statements were essential"',
        "The process need not be prepared, changed or restarted: `attach` reads the line from outside. The minutes "
        "that prints and restarts take are not measured here: they are those of a person.",
    )
    await hang(dsn)
    claim(
        "Its plan lists nine functions beside two that are done, and forgets the migration",
        "The scanner lists all that wait on the loop, without running any.",
    )
    assert LESSON.shipped is not None
    print(await story.functions(LESSON.shipped / "audit"))
    claim(
        'One function after the other: "faster first test, more iterations"',
        "One function decides whether the job hangs, the one that holds a row while models are asked. When the first "
        "test ends depends on when its module comes; thirty audits each, with the team's own threads.",
    )
    for order in (MODULES, MODULES[::-1]):
        print(await asyncio.to_thread(restarts, dsn, order))
    claim("COUNT > 0 as the test that responses were stored", "Broken packages pass it, too.")
    print(count_above_zero())
    claim(
        "`asyncio.run_in_executor()` bridges to a thread",
        "It is a method of the loop: AttributeError.",
    )
    print(f"asyncio has run_in_executor: {hasattr(asyncio, 'run_in_executor')}")
    return dsn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--audits", type=int, default=300)
    args = parser.parse_args()

    dsn = asyncio.run(questions())
    claim(
        '"the thread pool is the correct solution"',
        "It frees the loop as an async driver does. What tells them apart is a cancel, which does not reach a thread. "
        "Finished designs, 30 audits at once, and one audit that is cancelled while it stores:",
    )
    print(story.race(*ladder.DESIGNS, dsn=dsn, rounds=args.rounds, audits=args.audits))
    print(asyncio.run(story.cancelled(dsn, *ladder.DESIGNS)))


if __name__ == "__main__":
    main()
