"""Lesson 01: a retry that sleeps on the loop, and everybody waits."""

from loopclinic.lessons.lesson import Lesson

__all__ = ["LESSON"]

LESSON = Lesson(
    number="01",
    stem="blocking_sleep",
    title="One retry, everybody waits",
    summary="A retry that sleeps on the event loop: who pays for it, how to find it, how to mend it.",
    minutes=25,
    conflicts=(
        "blocking-retry",
        "blocking-sleep",
        "executor-saturation",
        "missing-deadline",
        "retry-storm",
        "swallowed-cancellation",
    ),
    requires=("00",),
    services=("faulty_upstream",),
    public=("transcribe", "TranscriptionError"),
    hints=(
        (
            "Freeze it and look: which line is the loop in while a caller waits to try again? "
            "It is not in an async function, which is why no linter points at it."
        ),
        (
            "A wait that others can use has to be awaited, so the function that waits must be async, "
            "and whoever calls it must await it. Then the deadline: it belongs around the whole loop "
            "of attempts, not into each request."
        ),
        (
            "Make wait_before_retry `async def`, call `await asyncio.sleep(...)` in it and await it in "
            "`retried`. Put `async with asyncio.timeout(deadline):` around `await retried(...)`, take "
            "the timeout off the request, and take TimeoutError out of TRANSIENT."
        ),
    ),
)
