"""Lesson 01: a retry that sleeps on the loop, and everybody waits."""

from loopclinic.lessons.lesson import Budget, Lesson

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
    budgets={
        "busy": Budget(
            0.4,
            "of the time",
            "A call that waits leaves the loop idle: a right answer is busy for less than a tenth of "
            "that time, one that blocks or spins for nearly all of it.",
        ),
        "lag": Budget(
            0.5,
            "x the lag of the file as shipped",
            "Measured in the same run, on the same machine. A right answer shows a tenth of it or less.",
        ),
        "queue": Budget(
            3.0,
            "x a caller's own waits",
            "Nine callers in ten. A right answer takes hardly more than its own waits; a hundred callers "
            "on the six threads of a small machine's default executor take more than ten times as much.",
        ),
        "threads": Budget(
            3,
            "new threads",
            "Waiting needs none. A thread a waiting caller means 6 in the default executor, or 100.",
        ),
        "waits_least": Budget(
            0.25,
            "x backoff * 2**n, on average",
            "Full jitter, the most generous one, gives half of it; no backoff gives next to nothing.",
        ),
        "rest": Budget(
            2.5,
            "requests a caller",
            "Within a fifth of the first wait. Full jitter sends 1.2 on average; no backoff sends all 5.",
        ),
        "waits_most": Budget(
            1.5,
            "x backoff * 2**n, on average",
            "A timer is never early, and the slack is for a slow machine. Counting n from 1 gives 2.",
        ),
        "growth": Budget(
            0.25,
            "x the growth of backoff * 2**n, from the first wait to the last",
            "Doubling gives 1, full jitter half of it; a constant wait gives 0.",
        ),
        "deadline": Budget(
            2.0,
            "x the deadline",
            "A right answer takes 1. A deadline for each attempt takes 4, one between attempts never ends.",
        ),
        "cancel": Budget(
            0.5,
            "s",
            "A right answer takes a few milliseconds; one that goes on waiting takes seconds.",
        ),
        "prompt": Budget(
            0.5,
            "s",
            "No wait belongs before the first attempt or after the last; it would take 1 s and more.",
        ),
    },
)
