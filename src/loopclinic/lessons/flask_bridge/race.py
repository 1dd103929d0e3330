"""Ways side by side: the same webhooks, as many threads, in turns."""

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import TYPE_CHECKING

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.flask_bridge.ladder import COSTS
from loopclinic.lessons.flask_bridge.serving import THREADS, Way, served
from loopclinic.lessons.flask_bridge.watching import Watch
from loopclinic.lessons.rounds import Rounds, called, name_of
from loopclinic.load.interleave import order
from loopclinic.load.progress import Progress
from loopclinic.servers.postgres_monitor import named
from loopclinic.servers.process import ServerProcess

if TYPE_CHECKING:
    from loopclinic.servers.wsgi import WsgiServer

__all__ = ["BOUND", "Race", "Runner", "race"]

BOUND = "record, no web"
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Runner(Rounds):
    """One way's rounds: `rate` (webhooks a second), `p50` and `p99` (s), `failed`, threads, connections."""

    def __str__(self) -> str:
        least, most = self.spread("rate")
        failed = self.spread("failed")[1]
        return (
            f"{self.name}: {self.typical('rate'):.0f} webhooks/s ({least:.0f} to {most:.0f}), "
            f"p99 {span(self.typical('p99'))}, {self.spread('threads')[1]:.0f} threads, "
            f"{self.spread('connections')[1]:.0f} connections"
            f"{f', {failed:.0f} failed' if failed else ''}"
        )


@dataclass(frozen=True, repr=False)
class Race:
    """Rounds of several ways, interleaved; `bound` is `record` alone, without any web."""

    runners: tuple[Runner, ...]
    bound: Runner
    rate: float | None = None
    """Webhooks a second that were sent on a schedule; None where each thread had one all the time."""

    def __getitem__(self, name: str) -> Runner:
        """Return the runner of this name.

        Raises:
            KeyError: there is none; the message lists those there are.
        """
        return called(name, self.runners)

    def times(self, figure: str, name: str, against: str) -> tuple[float, ...]:
        """Return, round by round, how many times `against`'s figure this one's is."""
        pairs = zip(self[name].rounds, self[against].rounds, strict=True)
        return tuple(one[figure] / other[figure] for one, other in pairs)

    def __str__(self) -> str:
        rate = self.bound.typical("rate")
        lines = [str(one) for one in self.runners]
        return "\n".join([*lines, f"{BOUND}: {rate:.0f} updates/s", self.sentence]).rstrip()

    __repr__ = __str__

    @property
    def sentence(self) -> str:
        """Say how the bridge compares to a loop for each request."""
        names = {one.name for one in self.runners}
        if not {"LoopPerRequest", "DrainedBridge"} <= names:
            return ""
        rates = sorted(self.times("rate", "DrainedBridge", "LoopPerRequest"))
        tails = sorted(self.times("p99", "DrainedBridge", "LoopPerRequest"))
        if self.rate is not None:
            return (
                f"At {self.rate:.0f} webhooks a second for both, the bridge's p99 is {median(tails):.0%} of "
                f"the other's ({tails[0]:.0%} to {tails[-1]:.0%})."
            )
        return (
            f"At equal threads the bridge answers {median(rates):.1f} times as many webhooks a second "
            f"({rates[0]:.1f} to {rates[-1]:.1f}), at {median(tails):.0%} of the p99 "
            f"({tails[0]:.0%} to {tails[-1]:.0%})."
        )

    def _repr_html_(self) -> str:
        best = max(one.typical("rate") for one in self.runners)
        rows = []
        for one in self.runners:
            rate, (least, most) = one.typical("rate"), one.spread("rate")
            color = "calm" if one.spread("connections")[1] <= THREADS / 2 else "stall"
            rows.append(
                f"<tr><td><code>{escape(one.name)}</code></td><td style='min-width:90px'><div style="
                f"'height:12px;border-radius:2px;width:{rate / best:.0%};"
                f"background:var(--lc-{color})'></div></td>"
                f"<td style='white-space:nowrap'><b>{rate:.0f}</b> "
                f"<span class='lc-muted'>({least:.0f} to {most:.0f})</span></td>"
                f"<td style='white-space:nowrap'>{span(one.typical('p99'))}</td>"
                f"<td>{one.spread('threads')[1]:.0f}</td><td>{one.spread('connections')[1]:.0f}</td>"
                f"<td>{escape(COSTS.get(one.name, ''))}</td></tr>"
            )
        head = (
            "<tr><th>Way</th><th></th><th>Webhooks/s</th><th>p99</th><th>Threads</th>"
            "<th>Connections</th><th>It costs</th></tr>"
        )
        load = f"{THREADS} webhooks under way at a time"
        if self.rate is not None:
            load = f"{self.rate:.0f} webhooks a second, on a schedule"
        note = (
            f"{load}, medians of {len(self.runners[0].rounds)} rounds, in brackets the least and the "
            "most; threads beyond those at rest. The bound: "
            f"<code>record</code> alone, without any web, {self.bound.typical('rate'):.0f} a second."
        )
        return Drawing(
            f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
            f"<p>{escape(self.sentence)}</p><p class='lc-muted'>{note}</p>",
            str(self),
        )._repr_html_()


def race(
    dsn: str,
    *ways: Way,
    rounds: int = 3,
    seconds: float = 0.8,
    rate: float | None = None,
    progress: bool = True,
) -> Race:
    """Serve each way in a process of its own, and load them in turns from one more process.

    Each thread of the server has a webhook all the time; or `rate` of them come a second, whether or
    not earlier ones were answered.
    """
    this = next(_NUMBERS)  # what is stored already costs less: each race brings webhooks of its own
    load = {"at_once": THREADS} if rate is None else {"rate": rate}
    found: list[list[dict[str, float]]] = [[] for _ in ways]
    bounds: list[dict[str, float]] = []
    with ExitStack() as stack, Progress(shown=progress) as shown:
        shown.say(f"Starting {len(ways)} servers...")
        provider = ServerProcess("loopclinic.lessons.flask_bridge.load_client", label="provider")
        servers = [served(way, named(dsn, name_of(way))) for way in ways]
        processes: tuple[ServerProcess | WsgiServer, ...] = (provider, *servers)
        for process in processes:
            stack.callback(process.close)
            process.launch()
        for process in processes:
            process.start()
        for number in range(rounds):
            for place, index in enumerate(order(number, len(ways))):
                name = name_of(ways[index])
                shown.say(f"Round {number + 1} of {rounds}, {place + 1} of {len(ways)}: {name}")
                message = {
                    "url": servers[index].url,
                    "seconds": seconds,
                    "label": f"{name}-{number} of race {this}",
                    **load,
                }
                pending = provider.submit(message)
                with Watch(servers[index].pid, dsn, name) as watch:
                    row = pending.result(30 + seconds)
                most = {kind: float(watch.most(kind)) for kind in ("threads", "connections")}
                found[index].append({**row, **most})
            bounds.append(
                provider.call(
                    {
                        "dsn": dsn,
                        "at_once": THREADS,
                        "seconds": seconds / 2,
                        "label": f"bound-{number} of race {this}",
                    },
                    timeout=30 + seconds,
                )
            )
        shown.done(f"Ran {len(ways)} ways, {rounds} rounds.")
    runners = tuple(
        Runner(name_of(way), tuple(rows)) for way, rows in zip(ways, found, strict=True)
    )
    return Race(runners, Runner(BOUND, tuple(bounds)), rate)
