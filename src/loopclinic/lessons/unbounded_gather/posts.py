"""Posts that are due, and a source of them that knows how many are alive."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

__all__ = ["DuePost", "Source", "due", "text_of"]

_PAGE = 100
_pause = asyncio.sleep


@dataclass(frozen=True, slots=True, weakref_slot=True)
class DuePost:
    """A post that is due."""

    id: int
    body: bytes


def text_of(number: int, kind: str = "note") -> bytes:
    """Return the body of a post: JSON of about 200 bytes."""
    words = f"{kind} {number}: " + "what we learned this week, and what comes next. " * 3
    return f'{{"id": {number}, "text": "{words}"}}'.encode()


async def due(count: int) -> AsyncGenerator[DuePost, None]:
    """Yield so many posts, as a cursor on a table would: a page at a time."""
    for number in range(count):
        if number % _PAGE == 0:
            await _pause(0)
        yield DuePost(number, text_of(number))


class Source:
    """Hands out posts one by one and counts those that somebody still holds.

    It stops early when more than `most` are alive: by then everything is known.
    """

    def __init__(self, posts: Iterable[DuePost], *, most: int | None = None) -> None:
        self._posts = posts
        self._most = most
        self._alive = self.peak = self.taken = 0
        self.stopped = False

    @property
    def alive(self) -> int:
        """Posts handed out and not yet let go."""
        return self._alive

    async def read(self) -> AsyncGenerator[DuePost, None]:
        """Yield the posts: an async generator, as a page-wise query is."""
        for post in self._posts:
            if self.taken % _PAGE == 0:
                await _pause(0)
            if self.stopped or (self._most is not None and self._alive > self._most):
                self.stopped = True
                return
            self.taken += 1
            self._alive += 1
            self.peak = max(self.peak, self._alive)
            weakref.finalize(post, self._let_go).atexit = False
            yield post
            del post

    def _let_go(self) -> None:
        self._alive -= 1
