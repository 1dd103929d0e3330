"""Publishers side by side: the same posts, the same service, in turns."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Any

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.rounds import name_of
from loopclinic.lessons.unbounded_gather.charts import COLORS, bars
from loopclinic.lessons.unbounded_gather.ladder import COSTS
from loopclinic.lessons.unbounded_gather.publisher import publisher
from loopclinic.lessons.unbounded_gather.service import (
    BOUND,
    CAPACITY,
    SERVICE,
    Publisher,
    Run,
)
from loopclinic.load.interleave import order
from loopclinic.load.progress import Progress
from loopclinic.servers import FaultyUpstream

__all__ = ["Race", "Runner", "race"]


@dataclass(frozen=True)
class Runner:
    """One publisher's rounds."""

    name: str
    rounds: tuple[Run, ...]

    @property
    def published(self) -> float:
        """Posts that the service accepted, the median of the rounds."""
        return median(run.accepted for run in self.rounds)

    @property
    def refused(self) -> float:
        """Requests refused or reset, the median of the rounds."""
        return median(run.refused + run.reset for run in self.rounds)

    @property
    def complete(self) -> bool:
        """Whether every post was published in every round."""
        return all(run.accepted == run.posts for run in self.rounds)

    @property
    def rate(self) -> tuple[float, float, float]:
        """Posts published a second: median, least, most."""
        rates = sorted(run.rate for run in self.rounds)
        return median(rates), rates[0], rates[-1]

    @property
    def tasks(self) -> int:
        """Most tasks at once, in any round."""
        return max(run.tasks for run in self.rounds)

    @property
    def peak(self) -> int:
        """Most requests in flight at once, in any round."""
        return max(run.peak for run in self.rounds)

    def __str__(self) -> str:
        middle, least, most = self.rate
        posts = self.rounds[0].posts
        return (
            f"{self.name}: {self.published:.0f} of {posts} published, {self.refused:.0f} refused or reset, "
            f"{middle:.0f}/s ({least:.0f} to {most:.0f}), {middle / BOUND:.0%} of the bound, "
            f"{self.tasks} tasks"
        )


@dataclass(frozen=True)
class Race:
    """Rounds of several publishers, interleaved."""

    runners: tuple[Runner, ...]
    posts: int

    def __str__(self) -> str:
        return "\n".join(map(str, self.runners))

    def drawing(self) -> Drawing:
        """Draw how many posts each published, with its figures and what it costs below."""
        rows = []
        for one in self.runners:
            color = COLORS["accepted"] if one.complete else COLORS["refused"]
            rows.append((one.name, one.published, f"{one.published:.0f}", color))
        svg = bars(
            rows, bound=self.posts, bound_label=f"all {self.posts} posts", title="Posts published"
        )
        head = (
            "<tr><th>Way</th><th>Refused or reset</th><th>Posts/s</th><th>Of the bound</th>"
            "<th>Tasks</th><th>It costs</th></tr>"
        )
        return Drawing(
            f"{svg}<table><thead>{head}</thead><tbody>{''.join(map(_row, self.runners))}</tbody>"
            f"</table><p class='lc-muted'>Medians of {len(self.runners[0].rounds)} rounds, in brackets the "
            f"least and the most. The bound is {CAPACITY} at once / latency = {BOUND:.0f} posts/s. "
            "Who loses posts is given no share of it: to refuse is quick.</p>",
            str(self),
        )

    def _repr_html_(self) -> str:
        return self.drawing()._repr_html_()


def _row(one: Runner) -> str:
    middle, least, most = one.rate
    rate = f"{middle:.0f} ({least:.0f} to {most:.0f})" if one.complete else "&ndash;"
    share = f"<b>{middle / BOUND:.0%}</b>" if one.complete else "&ndash;"
    return (
        f"<tr><td><b>{escape(one.name)}</b></td><td>{one.refused:.0f}</td><td>{rate}</td>"
        f"<td>{share}</td><td>{one.tasks}</td><td>{escape(COSTS.get(one.name, ''))}</td></tr>"
    )


def race(
    *publishers: Publisher,
    posts: int = 300,
    limit: int = CAPACITY,
    rounds: int = 3,
    progress: bool = True,
    **dials: Any,
) -> Race:
    """Let each publisher publish the same number of posts, in a process of its own, in turns."""
    names = [name_of(publish) for publish in publishers]
    found: list[list[Run]] = [[] for _ in publishers]
    with ExitStack() as stack, Progress(shown=progress) as shown:
        shown.say(f"Starting {len(publishers)} processes...")
        upstream = stack.enter_context(FaultyUpstream(**{**SERVICE, **dials}))
        processes = [
            publisher(publish, name) for publish, name in zip(publishers, names, strict=True)
        ]
        for process in processes:
            stack.callback(process.close)
            process.launch()
        for process in processes:
            process.start()

        def play(index: int, count: int) -> Run:
            upstream.reset_now()
            upstream.set_now(**{**SERVICE, **dials})
            what = {"kind": "publish", "url": upstream.url, "posts": count, "limit": limit}
            said = processes[index].call(what, timeout=120)
            return Run.of(
                names[index],
                upstream.counts_now(),
                posts=count,
                seconds=said["seconds"],
                ended=said["ended"],
                tasks=max((tasks for _, tasks, _ in said["series"]), default=0),
            )

        for index in range(len(processes)):
            play(index, limit)  # connections, lazy imports
        for number in range(rounds):
            for place, index in enumerate(order(number, len(processes))):
                shown.say(
                    f"Round {number + 1} of {rounds}, {place + 1} of {len(names)}: {names[index]}"
                )
                found[index].append(play(index, posts))
        shown.done(f"Published {posts} posts in {len(names)} ways, {rounds} rounds.")
    return Race(_runners(names, found), posts)


def _runners(names: Sequence[str], found: Sequence[Sequence[Run]]) -> tuple[Runner, ...]:
    return tuple(Runner(name, tuple(runs)) for name, runs in zip(names, found, strict=True))
