"""Far more posts than fit into a hand: tasks and memory of two publishers, over time."""

from dataclasses import dataclass
from typing import Any

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.rounds import name_of
from loopclinic.lessons.unbounded_gather.charts import COLORS, Series, Strip, strips
from loopclinic.lessons.unbounded_gather.publisher import publisher
from loopclinic.lessons.unbounded_gather.service import CAPACITY, SERVICE, Publisher
from loopclinic.load.progress import Progress
from loopclinic.servers import FaultyUpstream

__all__ = ["Crowd", "crowd"]

_ALARMING = 50.0


@dataclass(frozen=True)
class Held:
    """What a publisher held: `series` is (seconds, tasks, MB beyond what there was before)."""

    name: str
    series: tuple[tuple[float, int, float], ...]
    accepted: int
    taken: int
    seconds: float
    ended: str

    @property
    def tasks(self) -> int:
        """Most tasks at once."""
        return max(tasks for _, tasks, _ in self.series)

    @property
    def memory(self) -> float:
        """Most MB beyond what there was before."""
        return max(memory for *_, memory in self.series)

    def __str__(self) -> str:
        memory = f"{self.memory:.0f} MB" if self.memory >= 1 else "less than 1 MB"
        return (
            f"{self.name} had taken {self.taken:,} posts after {self.seconds:.1f} s, and {self.accepted:,} "
            f"of them were published: {self.tasks:,} tasks, {memory} more."
        )


@dataclass(frozen=True)
class Crowd:
    """What some publishers held, under the same load."""

    posts: int
    held: tuple[Held, ...]

    def __str__(self) -> str:
        return "\n".join(str(one) for one in self.held)

    def drawing(self) -> Drawing:
        """Draw tasks and memory over time."""
        colors = [COLORS["refused"], COLORS["accepted"], COLORS["blue"]]
        end = max(one.series[-1][0] for one in self.held)
        most = max(one.tasks for one in self.held)
        memory = max(max(one.memory for one in self.held) * 1.1, _ALARMING)
        step = next((s for s in (25, 50, 100, 250, 500) if memory / s <= 4), 1000)  # noqa: PLR2004
        charts = [
            Strip(
                "tasks",
                [
                    Series([(t, max(tasks, 1)) for t, tasks, _ in one.series], color)
                    for one, color in zip(self.held, colors, strict=False)
                ],
                bottom=1,
                top=max(10 * most, 1000) if most < 10_000 else 300_000,  # noqa: PLR2004
                log=True,
                ticks=[10.0**power for power in range(6) if 10**power <= 3 * most],
            ),
            Strip(
                "memory, MB more than before",
                [
                    Series([(t, max(mb, 0)) for t, _, mb in one.series], color)
                    for one, color in zip(self.held, colors, strict=False)
                ],
                top=memory,
                ticks=[float(step * n) for n in range(int(memory / step) + 1)],
            ),
        ]
        legend = "".join(
            f"<p><span style='color:{color}'>&#9632;</span> {one}</p>"
            for one, color in zip(self.held, colors, strict=False)
        )
        svg = strips(
            charts,
            low=0.0,
            high=max(end, 0.1),
            ticks=[n / 2 for n in range(int(end * 2) + 1)],
            label="seconds",
            title=f"Tasks and memory with {self.posts:,} posts due",
        )
        return Drawing(legend + svg, str(self))

    def _repr_html_(self) -> str:
        return self.drawing()._repr_html_()


def crowd(
    *publishers: Publisher, posts: int = 100_000, seconds: float = 3.0, progress: bool = True
) -> Crowd:
    """Let each publisher work for `seconds` at so many posts, in a process of its own.

    The service takes what comes (no capacity), so that nothing but the publisher is on trial.
    """
    dials: dict[str, Any] = {**SERVICE, "capacity": None, "latency": 0.02}
    found = []
    with FaultyUpstream(**dials) as upstream, Progress(shown=progress) as shown:
        for publish in publishers:
            name = name_of(publish)
            shown.say(f"{posts:,} posts for {name}")
            upstream.reset_now()
            upstream.set_now(**dials)
            with publisher(publish, name) as process:
                order = {
                    "kind": "publish",
                    "url": upstream.url,
                    "posts": posts,
                    "limit": CAPACITY,
                    "seconds": seconds,
                }
                said = process.call(order, timeout=seconds + 60)
            accepted = upstream.counts_now().by_status.get(200, 0)
            found.append(
                Held(
                    name=name,
                    series=tuple((at, tasks, mb) for at, tasks, mb in said["series"]),
                    accepted=accepted,
                    taken=said["taken"],
                    seconds=said["seconds"],
                    ended=said["ended"],
                )
            )
        shown.done(f"{posts:,} posts were due; each had {seconds:g} s.")
    return Crowd(posts, tuple(found))
