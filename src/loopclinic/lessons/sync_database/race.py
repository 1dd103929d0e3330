"""Rungs side by side: the same query, the same number of connections, in turns."""

from contextlib import ExitStack
from dataclasses import dataclass
from html import escape

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.rounds import Rounds, called, name_of
from loopclinic.lessons.sync_database.ladder import COSTS
from loopclinic.lessons.sync_database.lap import packed
from loopclinic.lessons.sync_database.pools import CONNECTIONS, Rung
from loopclinic.load.interleave import order
from loopclinic.load.progress import Progress
from loopclinic.servers import ServerProcess

__all__ = ["LATENCY", "Race", "race"]

LATENCY = 0.02
"""Seconds that PostgreSQL takes for the query."""
_STALL = 0.05


@dataclass(frozen=True, repr=False)
class Race:
    """Rounds of several rungs, interleaved. `bound` is in queries a second."""

    runners: tuple[Rounds, ...]
    bound: float

    def __getitem__(self, name: str) -> Rounds:
        """Return the runner of this name.

        Raises:
            KeyError: there is none; the message lists those there are.
        """
        return called(name, self.runners)

    def __str__(self) -> str:
        lines = []
        for one in self.runners:
            least, most = one.spread("rate")
            rate = one.typical("rate")
            lines.append(
                f"{one.name}: {rate:.0f} queries/s ({least:.0f} to {most:.0f}), "
                f"{rate / self.bound:.0%} of the bound, lag p99 {span(one.typical('lag'))}, "
                f"longest stall {span(one.typical('stall'))}, {one.typical('threads'):.0f} threads"
            )
        return "\n".join([*lines, self.sentence]).rstrip()

    __repr__ = __str__

    @property
    def sentence(self) -> str:
        """Say what became of "the thread pool is the correct solution"."""
        rates = {one.name: one.spread("rate") for one in self.runners}
        if not {"on_threads", "native"} <= set(rates):
            return ""
        threads, native = rates["on_threads"], rates["native"]
        ratio = self["native"].typical("rate") / self["on_threads"].typical("rate")
        claim = '"The thread pool is the correct solution": '
        if native[0] > threads[1]:
            return f"{claim}it is a cure, and the native driver did {ratio:.2f} times as much in every round."
        if threads[0] > native[1]:
            return f"{claim}for throughput, yes: the native driver did {ratio:.2f} times as much. Now cancel both."
        return f"{claim}for throughput, there is no difference here ({ratio:.2f} times). Now cancel both."

    def _repr_html_(self) -> str:
        rows = []
        for one in self.runners:
            rate = one.typical("rate")
            least, most = one.spread("rate")
            share = rate / self.bound
            color = "var(--lc-stall)" if one.typical("lag") > _STALL else "var(--lc-calm)"
            rows.append(
                f"<tr><td><code>{escape(one.name)}</code></td><td style='min-width:110px'>"
                "<div style='border-right:2px solid var(--lc-text)'><div style='height:12px;"
                f"width:{min(share, 1.0):.0%};background:{color};border-radius:2px'></div></div></td>"
                f"<td style='white-space:nowrap'>{rate:.0f} "
                f"<span class='lc-muted'>({least:.0f} to {most:.0f})</span></td>"
                f"<td><b>{share:.0%}</b></td>"
                f"<td style='white-space:nowrap'>{span(one.typical('lag'))}</td>"
                f"<td>{one.typical('threads'):.0f}</td>"
                f"<td>{escape(COSTS.get(one.name, ''))}</td></tr>"
            )
        head = (
            "<tr><th>Way</th><th>Up to the bound</th><th>Queries/s</th><th></th>"
            "<th>Lag p99</th><th>Threads</th><th>It costs</th></tr>"
        )
        note = (
            f"Medians of {len(self.runners[0].rounds)} rounds, in brackets the least and the most. "
            f"The bound is connections / latency = {self.bound:.0f} queries/s."
        )
        return Drawing(
            f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
            f"<p>{escape(self.sentence)}</p><p class='lc-muted'>{note}</p>",
            str(self),
        )._repr_html_()


def race(
    dsn: str,
    *rungs: Rung,
    rounds: int = 3,
    seconds: float = 1.0,
    size: int = CONNECTIONS,
    progress: bool = True,
) -> Race:
    """Run each rung in a process of its own, `size` tasks at once, in turns."""
    query = f"select pg_sleep({LATENCY})"
    found: list[list[dict[str, float]]] = [[] for _ in rungs]
    with ExitStack() as stack, Progress(shown=progress) as shown:
        shown.say(f"Starting {len(rungs)} processes...")
        processes = [
            ServerProcess(
                "loopclinic.lessons.sync_database.lap", packed(rung, dsn, size), label=name_of(rung)
            )
            for rung in rungs
        ]
        for process in processes:
            process.launch()
            stack.callback(process.close)
        for process in processes:
            process.start()
        for number in range(rounds):
            for place, index in enumerate(order(number, len(rungs))):
                shown.say(
                    f"Round {number + 1} of {rounds}, {place + 1} of {len(rungs)}: "
                    f"{name_of(rungs[index])}"
                )
                message = {"query": query, "seconds": seconds}
                found[index].append(processes[index].call(message, timeout=30 + seconds))
        shown.done(f"Ran {len(rungs)} rungs, {rounds} rounds.")
    runners = [Rounds(name_of(rung), tuple(rows)) for rung, rows in zip(rungs, found, strict=True)]
    return Race(tuple(runners), size / LATENCY)
