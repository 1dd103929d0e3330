"""Lesson 04: everything at once, and most of it refused."""

from loopclinic.lessons.lesson import Lesson

__all__ = ["LESSON"]

LESSON = Lesson(
    number="04",
    stem="unbounded_gather",
    title="Faster, faster, refused",
    summary="Everything at once against a service that takes a few: find its limit and keep it.",
    minutes=35,
    conflicts=(
        "unbounded-gather",
        "unisolated-failure",
        "dropped-gather-results",
        "retry-storm",
        "sequential-awaits",
        "dropped-task",
        "swallowed-cancellation",
    ),
    requires=("01",),
    services=("faulty_upstream",),
    public=("publish", "Summary"),
    hints=(
        (
            "Count two things: semaphores, and tasks. How many of each are there when 2,000 posts are "
            "due? And who ever looks at what gather returned?"
        ),
        (
            "A limit must be shared by those it limits, and it must make the source wait, too: a post "
            "should be fetched when there is somebody to send it. What goes wrong with a post belongs "
            "into the summary, at the place where it goes wrong."
        ),
        (
            "Start `limit` workers in an asyncio.TaskGroup. Each takes posts from one "
            "asyncio.Queue(maxsize=limit) until it gets None. Fill the queue by `async for`, then put "
            "None `limit` times. In the worker, catch aiohttp.ClientError around one post and note it. "
            "On 429, await asyncio.sleep(float(response.headers['Retry-After'])) and send it again."
        ),
    ),
)
