"""What a service gets to hear after it has asked for a rest."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.rounds import name_of
from loopclinic.lessons.unbounded_gather.charts import answers
from loopclinic.lessons.unbounded_gather.posts import DuePost
from loopclinic.lessons.unbounded_gather.service import Run, publish_here
from loopclinic.lessons.unbounded_gather.workforce import workforce

__all__ = ["Storm", "retry_storm"]

Send = Callable[[aiohttp.ClientSession, DuePost], Awaitable[None]]


@dataclass(frozen=True)
class Storm:
    """The same rest, asked of several senders."""

    runs: tuple[Run, ...]
    closed_for: float

    def __str__(self) -> str:
        return "\n".join(self._words(run) for run in self.runs)

    def _words(self, run: Run) -> str:
        return (
            f"{run.name}: while it was closed for {self.closed_for:g} s, the service refused "
            f"{run.refused:,} requests. All {run.accepted:,} posts were through after "
            f"{run.seconds:.1f} s."
        )

    def drawing(self) -> Drawing:
        """Draw the service's answers over time, one chart a sender, on one scale."""
        return answers(*((self._words(run), run.timeline) for run in self.runs))

    def _repr_html_(self) -> str:
        return self.drawing()._repr_html_()


async def retry_storm(*senders: Send, posts: int = 100, seconds: float = 1.0) -> Storm:
    """Send posts while the service refuses everything for `seconds`, with Retry-After: 1.

    As many workers as the service has places, on the running loop.
    """
    runs = []
    for send in senders:

        async def publish(
            session: aiohttp.ClientSession, posts: Any, *, limit: int, send: Send = send
        ) -> None:
            await workforce(lambda post: send(session, post), posts, limit)

        publish.__name__ = name_of(send)
        runs.append(
            await publish_here(publish, posts, closed_for=seconds, overload=None, latency=0.05)
        )
    return Storm(tuple(runs), seconds)
