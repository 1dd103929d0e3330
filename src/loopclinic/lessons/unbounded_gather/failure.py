"""One failure out of many: what the caller hears, and what becomes of the others."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from html import escape
from typing import Any, NamedTuple

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.rounds import name_of
from loopclinic.lessons.unbounded_gather.ladder import publish_one
from loopclinic.lessons.unbounded_gather.posts import DuePost, text_of
from loopclinic.lessons.unbounded_gather.service import CAPACITY, connected

__all__ = ["one_failure"]

Way = Callable[[Sequence[Coroutine[Any, Any, None]]], Awaitable[Any]]

_FAILS_AT = 0.1
_AFTERWARDS = 3.0


class _Row(NamedTuple):
    way: str
    heard: str
    published: int
    later: int
    never: int

    def __str__(self) -> str:
        return (
            f"{self.way}: the caller got {self.heard}, with {self.published:,} published, "
            f"{self.later:,} more afterwards that nobody waits for, {self.never:,} never sent."
        )


async def one_failure(*ways: Way, posts: int = 1000) -> Drawing:
    """Publish so many posts in each of these ways, one of which the service turns away.

    A way takes a list of coroutines. All share one limit; the loop is the running one.
    """
    rows = [await _try(way, posts) for way in ways]
    head = (
        "<tr><th>Way</th><th>The caller gets</th><th>Published by then</th>"
        "<th>Later, behind its back</th><th>Never sent</th></tr>"
    )
    cells = "".join(
        f"<tr><td><b>{escape(row.way)}</b></td><td><code>{escape(row.heard)}</code></td>"
        f"<td>{row.published:,}</td><td>{row.later:,}</td><td>{row.never:,}</td></tr>"
        for row in rows
    )
    note = f"{posts:,} posts, one of which the service turns away (422)."
    return Drawing(
        f"<p>{note}</p><table><thead>{head}</thead><tbody>{cells}</tbody></table>",
        "\n".join([note, *map(str, rows)]),
    )


async def _try(way: Way, posts: int) -> _Row:
    dials: dict[str, Any] = {
        "capacity": None,
        "latency": 0.02,
        "status": 422,
        "status_for": "banned",
    }
    async with connected(**dials) as (upstream, session):
        limit = asyncio.Semaphore(CAPACITY)

        async def limited(post: DuePost) -> None:
            async with limit:
                await publish_one(session, post)

        bad = int(posts * _FAILS_AT)
        due = [
            DuePost(number, text_of(number, "banned" if number == bad else "note"))
            for number in range(posts)
        ]
        before = asyncio.all_tasks()
        try:
            heard = _heard(await way([limited(post) for post in due]), posts)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            heard = _named(error)
        published = (await upstream.counts()).by_status.get(200, 0)
        if left := asyncio.all_tasks() - before:
            _, left = await asyncio.wait(left, timeout=_AFTERWARDS)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        counts = await upstream.counts()
    later = counts.by_status.get(200, 0) - published
    never = sum(not counts.arrivals_of(post.body) for post in due)
    return _Row(name_of(way), heard, published, later, never)


def _heard(value: Any, posts: int) -> str:
    if isinstance(value, list) and len(value) == posts:
        place = next((n for n, one in enumerate(value) if isinstance(one, BaseException)), None)
        if place is not None:
            return f"a list; item {place} of it is the error"
    return "no error" if value is None else repr(value)[:60]


def _named(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        inside = ", ".join(sorted({type(one).__name__ for one in error.exceptions}))
        return f"{type(error).__name__} of {inside}"
    return type(error).__name__
