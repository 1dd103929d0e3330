"""Measure what `loopclinic attach` costs the process that it reads, and how soon it answers.

    python benchmarks/attach.py [--rounds 20] [--steps 30000]

The target runs the same steps with and without a reader at 100 Hz, in pairs whose order alternates, and counts its own
processor time for each. The ratio is the median of the pairs, with a 95 % interval of the median. The answers are those
of `loopclinic attach --once` on a loop that has been stuck for a second.
"""

import argparse
import asyncio
import subprocess
import sys
import threading
from statistics import median
from time import perf_counter, process_time, sleep, thread_time

from rich.console import Console
from rich.table import Table

from loopclinic.attached.attached_loop import INTERVAL
from loopclinic.attached.sampler import Sampler
from loopclinic.units import duration

STUCK = "import asyncio, time\nasync def main(): print(flush=True); time.sleep(600)\nasyncio.run(main())"
TIMED = (
    "import sys; from time import perf_counter as now; began = now()\n"
    "import loopclinic.cli.attach\nfrom loopclinic.cli.main import main\nthen = now()\n"
    "main(['attach', '--once', sys.argv[1]]); print(then - began, now() - then)"
)


async def work(steps: int) -> None:
    for number in range(steps):
        sum(range(100))
        if number % 10 == 0:
            await asyncio.sleep(0)


def target(steps: int) -> None:
    """Run so many steps for each line on standard input, and print the processor time that they took."""

    async def main() -> None:
        for _ in sys.stdin:
            began = process_time()
            await asyncio.gather(*(work(steps // 10) for _ in range(10)))
            print(process_time() - began, flush=True)

    asyncio.run(main())


class Reader:
    """Reads the target on a thread while `on` is set."""

    def __init__(self, pid: int) -> None:
        self.on, self.over, self.looks, self.spent = threading.Event(), False, 0, 0.0
        self.sampler = Sampler(pid, threshold=0.05)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        began = thread_time()
        while not self.over:
            if self.on.wait(0.1):
                self.sampler.look()
                self.looks += 1
                sleep(INTERVAL)
        self.spent = thread_time() - began

    def close(self) -> None:
        self.over = True
        self.thread.join()
        self.sampler.close()


def price(rounds: int, steps: int) -> tuple[list[float], float, float]:
    """Return the ratios of processor time, and what one look costs the reader, and looks a second."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--target", str(steps)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def spent() -> float:
        print(file=process.stdin, flush=True)
        return float(process.stdout.readline())  # type: ignore[union-attr]

    spent()
    reader, ratios, watched = Reader(process.pid), [], 0.0
    for number in range(rounds):
        found = {}
        for on in (True, False) if number % 2 else (False, True):
            if on:
                reader.on.set()
            began = perf_counter()
            found[on] = spent()
            watched += (perf_counter() - began) * on
            reader.on.clear()
        ratios.append(found[True] / found[False])
    reader.close()
    process.kill()
    process.wait()
    return ratios, reader.spent / reader.looks, reader.looks / watched


def answers(times: int) -> list[tuple[float, float, float]]:
    """Return for each of some answers the seconds of the imports, of the answer, and from the start of Python."""
    process = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    sleep(1)
    found = []
    for _ in range(times):
        began = perf_counter()
        said = subprocess.run(
            [sys.executable, "-c", TIMED, str(process.pid)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        whole = perf_counter() - began
        imports, answer = map(float, said.splitlines()[-1].split())
        found.append((imports, answer, whole))
    process.kill()
    process.wait()
    return found


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of a median by the ranks of the values."""
    ordered, number = sorted(values), len(values)
    rank = max(0, round(number / 2 - 0.98 * number**0.5))
    return ordered[rank], ordered[-1 - rank]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--target", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.target:
        target(args.target)
        return
    ratios, look, rate = price(args.rounds, args.steps)
    low, high = interval(ratios)
    table = Table("what", "median", "from", "to", title="What loopclinic attach costs")
    table.add_row(
        "processor time of the target, ratio", f"{median(ratios):.4f}", f"{low:.4f}", f"{high:.4f}"
    )
    table.add_row("one look, of the reader's own", duration(look), "", "")
    table.add_row("looks a second", f"{rate:.0f}", "", "")
    for name, values in zip(
        ("imports", "answer after the imports", "answer after the start"),
        zip(*answers(args.rounds), strict=True),
        strict=True,
    ):
        table.add_row(name, duration(median(values)), duration(min(values)), duration(max(values)))
    Console().print(table)


if __name__ == "__main__":
    main()
