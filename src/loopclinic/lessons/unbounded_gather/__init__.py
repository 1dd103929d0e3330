"""Lesson 04: thousands of concurrent requests to a service that takes a few at a time.

Limit: 1,422 lines, because six scenes hold what the service counted against what was read and what
the summary says, and the notebook draws the service's places while posts come, and measures a storm of
retries, a sweep, a race, memory, and one failure among many.
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="04",
    stem="unbounded_gather",
    title="Faster, faster, refused",
    summary="Thousands of requests at once against a service that accepts twenty: find its limit and stay below it.",
    minutes=35,
    conflicts=words(
        "unbounded-gather unisolated-failure dropped-gather-results retry-storm sequential-awaits "
        "dropped-task swallowed-cancellation"
    ),
    requires=("01",),
    services=("faulty_upstream",),
    public=("publish", "Summary"),
    hints=graded("""
        Count two things: semaphores and tasks. How many of each exist when 2,000 posts are due? And who looks
        at what gather returned?

        A limit must be shared by everything it limits, and it must also hold back the source: fetch a post
        only when a worker is free to send it. Whatever goes wrong with a post belongs in the summary, so
        catch it where it happens.

        Start `limit` workers in an asyncio.TaskGroup. Each takes posts from one asyncio.Queue(maxsize=limit)
        until it gets None. Fill the queue by `async for`, then put None `limit` times. In the worker, catch
        aiohttp.ClientError and TimeoutError around one post and note it. On 429, await
        asyncio.sleep(int(response.headers['Retry-After'])) and send it again.
    """),
)
