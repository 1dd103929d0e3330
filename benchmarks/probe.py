"""Compare the probe with other event-loop monitors: CPU cost and stalls found, on the same work.

    pip install --group peers                  # the peers; whichever is missing is left out
    python benchmarks/probe.py [--rounds 20] [--scale 1] [--idle 60] [--only NAME …] [--plot build/probe.png]

Rounds are interleaved, each monitor in a process of its own; medians and spread are printed. About
a minute and a half a round. The CPU of the process beside the program counts. Prices are of one
processor, which the program and what watches it share, and for comparison of all of them.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure
from probe_monitors import MONITORS
from rich.console import Console
from rich.table import Table

from loopclinic.probe import Probe, Stall

HERE = Path(__file__).parent
WORKS = {
    "tasks": "100 tasks",
    "task": "1 task",
    "stream": "stream",
    "anywhere": "100 tasks, on all processors",
}
LIMITS = {
    "probe": {"tasks": 1.10, "task": 1.15, "stream": 1.15},
    "probe with witness": {"tasks": 1.15, "task": 1.25, "stream": 1.25},
}
ERROR, DELAY, SHARE = 0.02, 0.03, 0.03
KINDS = ("sleep_block", "spin_block", "gil_block")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--scale", type=float, default=1.0, help="of the work that is timed")
    parser.add_argument("--idle", type=float, default=60, help="seconds of an idle loop")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--only", nargs="+", choices=[*MONITORS], default=[*MONITORS])
    args = parser.parse_args()
    console = Console(width=160)
    names = [name for name, (module, _) in MONITORS.items() if not module or find_spec(module)]
    missing = [name for name in MONITORS if name not in names]
    names = [name for name in names if name in {"none", *args.only}]
    if missing:
        console.print(f"Left out, not installed: {', '.join(missing)}")
    rounds: list[dict[str, dict]] = []
    for number in range(args.rounds):
        order = names[number % len(names) :] + names[: number % len(names)]
        rounds.append({name: measured(name, args.scale) for name in order})
        console.print(f"[dim]round {number + 1} of {args.rounds}[/dim]")
    if rounds:
        console.print(table(names, rounds))
        promises(console, rounds)
    if args.idle:
        console.print("\nan idle loop")
        for name, stalls in asyncio.run(idle(args.idle)).items():
            seen = "".join(f"; {stall}" for stall in stalls)
            say(console, not stalls, f"{name}: {len(stalls)} stalls in {args.idle:.0f} s{seen}")
    if args.plot and rounds:
        plot(names, rounds, args.plot)


def measured(name: str, scale: float) -> dict:
    command = [sys.executable, str(HERE / "probe_work.py"), name, str(scale)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def ratios(name: str, rounds: list[dict[str, dict]], work: str) -> list[float]:
    return [one[name]["costs"][work] / one["none"]["costs"][work] for one in rounds]


def blocks(name: str, rounds: list[dict[str, dict]]) -> list[dict]:
    return [block for one in rounds for block in one[name]["blocks"]]


def errors(found: list[dict]) -> list[float]:
    return [
        abs(one["measured"] - one["seconds"]) / one["seconds"]
        for one in found
        if one["measured"] is not None
    ]


def share(some: int, all_: int) -> str:
    return f"{some} of {all_}"


def delays(found: list[dict], kind: str, threshold: float) -> list[float]:
    """Return how many seconds past the threshold stalls were reported, of those reported meanwhile."""
    return sorted(
        one["delay"] - threshold
        for one in found
        if one["kind"] == kind and one["delay"] is not None and one["delay"] < one["seconds"]
    )


def p95(values: list[float]) -> float:
    return values[min(len(values) - 1, round(0.95 * len(values)))]


def spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def table(names: list[str], rounds: list[dict[str, dict]]) -> Table:
    shown = Table("monitor", *(f"CPU, {work}" for work in WORKS.values()), "found", "line", "error",
                  *(f"live: {kind.partition('_')[0]}" for kind in KINDS))  # fmt: skip
    for name in names:
        found = blocks(name, rounds)
        costs = [spread(ratios(name, rounds, work)) for work in WORKS]
        if name == "none":
            shown.add_row(name, *costs)
            continue
        wrong = errors(found)
        live = []
        for kind in KINDS:
            past = delays(found, kind, rounds[0][name]["threshold"])
            all_ = sum(one["kind"] == kind for one in found)
            refused = sum(one["refused"] for one in found if one["kind"] == kind)
            said = f" {median(past) * 1000:.0f} ms" if past else ""
            live.append("before" if refused else f"{share(len(past), all_)}{said}")
        shown.add_row(
            name,
            *costs,
            share(sum(one["found"] for one in found), len(found)),
            share(sum(one["named"] for one in found), len(found)),
            f"{median(wrong):.1%} (max {max(wrong):.0%})" if wrong else "none given",
            *live,
        )
    return shown


def say(console: Console, kept: bool, sentence: str) -> None:
    word = "[green]as promised[/green]" if kept else "[red]NOT as promised[/red]"
    console.print(f"  {word}: {sentence}")


def promises(console: Console, rounds: list[dict[str, dict]]) -> None:
    """Hold the probe's figures against what is promised of it."""

    for name, limits in LIMITS.items():
        if name not in rounds[0]:
            continue
        console.print(f"\n{name}")
        found = blocks(name, rounds)
        for work, limit in limits.items():
            middle = median(ratios(name, rounds, work))
            say(
                console,
                middle <= limit,
                f"CPU ratio, {WORKS[work]}: {middle:.3f}, at most {limit:.2f}",
            )
        anywhere = median(ratios(name, rounds, "anywhere"))
        console.print(f"  CPU ratio, {WORKS['anywhere']}: {anywhere:.3f}")
        named = sum(one["named"] for one in found)
        say(console, named == len(found), f"the right line: {share(named, len(found))}")
        wrong = errors(found)
        say(console, max(wrong) <= ERROR, f"error of a stall's length: median {median(wrong):.2%}, worst {max(wrong):.1%}, at most {ERROR:.0%}")  # fmt: skip
        threshold = rounds[0][name]["threshold"]
        for kind in KINDS if "witness" in name else KINDS[:2]:
            # A block shorter than threshold + 30 ms ends before it has to be told of.
            long = [one for one in found if one["seconds"] > threshold + DELAY]
            past, all_ = delays(long, kind, threshold), sum(one["kind"] == kind for one in long)
            kept = len(past) == all_ and p95(past) <= DELAY
            at = f"p95 {p95(past) * 1000:.0f} ms past the threshold" if past else "never"
            say(console, kept, f"told while it lasts, {kind.partition('_')[0]}: {share(len(past), all_)}, {at}, at most {DELAY * 1000:.0f} ms")  # fmt: skip
        off = [abs(one[name]["share"]["said"] - one[name]["share"]["truth"]) for one in rounds]
        say(
            console,
            max(off) <= SHARE,
            f"utilization: off by {median(off):.3f}, at most {max(off):.3f}",
        )


async def idle(seconds: float) -> dict[str, tuple[Stall, ...]]:
    """Rest on a loop of each kind, in a thread of its own; return the stalls that were seen."""
    loops = {
        "probe": (Probe(), asyncio.new_event_loop),
        "probe with witness": (Probe(witness=True), asyncio.new_event_loop),
    }
    if find_spec("uvloop"):
        import uvloop  # where there is one

        # Late beats are all that it has: a machine too busy for the loop looks like a busy loop.
        loops["probe by heartbeat (uvloop)"] = Probe(), uvloop.new_event_loop

    async def rest(probe: Probe) -> tuple[Stall, ...]:
        with probe:
            await asyncio.sleep(seconds)
        return probe.report().stalls

    def run(probe: Probe, factory: Callable[[], asyncio.AbstractEventLoop]) -> tuple[Stall, ...]:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(rest(probe))

    found = [asyncio.to_thread(run, *loop) for loop in loops.values()]
    return dict(zip(loops, await asyncio.gather(*found), strict=True))


def plot(names: list[str], rounds: list[dict[str, dict]], path: Path) -> None:
    figure = Figure(figsize=(10, 5), layout="constrained")
    cost, line = figure.subplots(1, 2, width_ratios=(3, 2))
    shown = [name for name in names if name != "none"]
    for index, (work, title) in enumerate(WORKS.items()):
        middles = [median(ratios(name, rounds, work)) for name in shown]
        at = [row + (index - 1.5) * 0.2 for row in range(len(shown))]
        cost.barh(at, middles, 0.18, label=title)
    cost.set(
        xscale="log", xlabel="CPU, as a multiple of no monitor (log)", yticks=range(len(shown))
    )
    cost.set_yticklabels(shown)
    cost.axvline(1, color="gray", linewidth=0.8)
    cost.invert_yaxis()
    cost.legend(frameon=False)
    named = []
    for name in shown:
        found = blocks(name, rounds)
        named.append(100 * sum(one["named"] for one in found) / len(found))
    line.barh(range(len(shown)), named, color="0.5")
    line.set(xlabel="blocks whose line was named, %", xlim=(0, 100), yticks=[])
    line.invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
