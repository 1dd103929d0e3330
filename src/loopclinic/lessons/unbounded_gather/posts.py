"""Test posts, and an async source of them that counts how many are held in memory."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

_PAGE = 100
_QUERY = 0.02
"""Seconds that the query of a page takes."""
_pause = asyncio.sleep


@dataclass(frozen=True, slots=True, weakref_slot=True)
class DuePost:
    """A post that is due."""

    id: int
    body: bytes


def text_of(number: int, kind: str = "note") -> bytes:
    """Return the body of a post: about 200 bytes, in Latin-1, which is no valid UTF-8."""
    words = f"{kind} {number}: " + "what we learned this week, and what comes next, à bientôt. " * 2
    return f'{{"id": {number}, "text": "{words}"}}'.encode("latin-1")


async def due(count: int) -> AsyncGenerator[DuePost, None]:
    """Yield so many posts, as a cursor on a table would: a page at a time."""
    for number in range(count):
        if number % _PAGE == 0:
            await _pause(0)
        yield DuePost(number, text_of(number))


class Source:
    """Hands out posts of these kinds one by one and counts those that somebody still holds.

    It stops early when more than `most` are alive: by then everything is known.
    """

    def __init__(self, kinds: Mapping[int, str], *, most: int | None = None) -> None:
        # Each is made when it is asked for, so that those in memory are those that somebody holds.
        self._posts = (DuePost(number, text_of(number, kind)) for number, kind in kinds.items())
        self._most, self.stopped = most, False
        self.alive = self.peak = self.taken = 0
        """Posts handed out: not yet let go, the most of these, and all."""

    async def read(self) -> AsyncGenerator[DuePost, None]:
        """Yield the posts: an async generator, as a page-wise query is."""
        for post in self._posts:
            if self.taken % _PAGE == 0:
                await _pause(_QUERY)
            if self.stopped or (self._most is not None and self.alive > self._most):
                self.stopped = True
                return
            self.taken += 1
            self.alive += 1
            self.peak = max(self.peak, self.alive)
            weakref.finalize(post, self._let_go).atexit = False
            yield post
            del post

    def _let_go(self) -> None:
        self.alive -= 1
