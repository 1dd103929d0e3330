"""Lesson 03: asynchronous code behind Flask, and a webhook that answers and forgets."""

from loopclinic.lessons.lesson import Lesson

__all__ = ["LESSON"]

LESSON = Lesson(
    number="03",
    stem="flask_bridge",
    title="The webhook that answers, and forgets",
    summary="Asynchronous code called from Flask: a loop for each request, updates lost at a deploy, and a bridge that keeps them.",
    minutes=40,
    conflicts=(
        "loop-per-call",
        "loop-bound-primitive",
        "dropped-task",
        "missing-deadline",
        "sequential-awaits",
        "too-many-connections",
        "unbounded-gather",
        "nested-loop",
        "unclosed-resource",
    ),
    requires=("01",),
    services=("postgres",),
    public=("Receiver", "record"),
    hints=(
        (
            "Count event loops and pools: how many are there after a hundred webhooks, and how many "
            "are needed? Then: when the answer leaves, where is the update? Who waits for it when "
            "SIGTERM comes?"
        ),
        (
            "One event loop for the whole process, on a thread of its own, made in __init__, with one "
            "pool that is made on that loop. A request hands its work over and waits for the result, "
            "with a deadline that also ends the work. close() waits for those first, then takes down "
            "the pool."
        ),
        (
            "loop = asyncio.new_event_loop(); Thread(target=loop.run_forever, daemon=True).start(). "
            "Per webhook: future = asyncio.run_coroutine_threadsafe(work(), loop); future.result(). In "
            "work: `async with asyncio.timeout(timeout): await record(pool, update)`, and TimeoutError "
            "becomes 503. Keep the futures; close() calls concurrent.futures.wait on them, then closes "
            "the pool over the bridge, then loop.call_soon_threadsafe(loop.stop)."
        ),
    ),
    # Two web servers start for it: on a machine with other work that alone takes seconds.
    deadline=20.0,
)
