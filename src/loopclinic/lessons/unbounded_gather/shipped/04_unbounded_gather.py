"""Lab 04: faster, faster, refused.

`publish` sends all due posts to a publishing service and reports what became of them. It was
written for a dozen posts a night. Now thousands are due, the service refuses most of them, and
nobody notices. Fix that.

What `publish` must do when you are done:

1. Every post is sent with `POST /v1/posts`, its `body` unchanged. One that was accepted is never
   sent again.
2. At most `limit` requests are in flight, and nearly as many while posts are left: no post waits
   for the slowest of a batch.
3. A 429 says in Retry-After how many whole seconds to wait, maybe 0 (HTTP also allows a date there).
   That post is sent again, no earlier than that, until it is accepted or fails.
4. Any other status of 400 or more, an aiohttp.ClientError or a TimeoutError is a failure of that one
   post. It is not sent again, `failed` says why, by id, and all the others go on.
5. `published` counts the posts that were accepted.
6. However many posts there are, at most 10 times `limit` of them are held at a time, and as many
   tasks. `posts` yields the next one when it is asked for.
7. `posts` is an async generator, so only one task at a time may iterate over it. If it raises,
   `publish` sends no other post and raises that error, by itself or in an ExceptionGroup.
8. When cancelled, it ends at once with CancelledError and sends nothing more. It leaves no task.

Keep these names and signatures: `publish`, `Summary`. The rest is yours to change.

How it is judged: `loopclinic check 04`, or `loopclinic watch 04` for a verdict on every save.
The check asks the service what arrived, and when: how many at once (at most `limit`), how much of
the limit was used on average (at least 75 %; posts take different times, every twentieth far longer),
and how soon a refused post came back (never before Retry-After). It counts the posts and tasks that
exist while 100,000 are due. A cancelled call gets 500 ms; one whose `posts` raises or whose connections
all break, 1 s; one that has to wait for Retry-After, 1.2 s more than that.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp


@dataclass(frozen=True)
class Post:
    """A post that is due: `body` is what the service wants to get."""

    id: int
    body: bytes


@dataclass
class Summary:
    """What became of the posts: how many were accepted, and why the others were not, by id."""

    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


async def publish(
    session: aiohttp.ClientSession, posts: AsyncIterator[Post], *, limit: int = 20
) -> Summary:
    """Publish all posts, `limit` at a time."""
    summary = Summary()
    jobs = [publish_one(session, post, limit, summary) async for post in posts]
    # One post that fails must not stop the others.
    await asyncio.gather(*jobs, return_exceptions=True)
    return summary


async def publish_one(
    session: aiohttp.ClientSession, post: Post, limit: int, summary: Summary
) -> None:
    """Publish one post as soon as there is a place for it."""
    async with asyncio.Semaphore(limit):
        await send(session, post)
    summary.published += 1


async def send(session: aiohttp.ClientSession, post: Post) -> None:
    """Send the post once."""
    async with session.post("/v1/posts", data=post.body) as response:
        response.raise_for_status()
