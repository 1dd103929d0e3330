"""Lesson 01: a retry that calls `time.sleep` on the event loop and makes every caller wait.

Limit: 1,098 lines, because seven scenes judge it: its deadline and its waits are measured
alone, among 130 callers, and by what the service counts.
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="01",
    stem="blocking_sleep",
    title="One retry, everybody waits",
    summary="A retry that sleeps on the event loop: who pays for it, how to find it and how to fix it.",
    minutes=25,
    conflicts=words(
        "blocking-retry blocking-sleep executor-saturation missing-deadline retry-storm "
        "swallowed-cancellation"
    ),
    requires=("00",),
    services=("faulty_upstream",),
    public=("transcribe", "TranscriptionError"),
    hints=graded("""
        Make a caller retry and look: at which line is the loop stuck meanwhile? It is not in an async
        function, so no linter flags it.

        Others can run only while your code awaits, so the function that waits must be async, and its callers
        must await it. Then the deadline: it belongs around the whole loop of attempts, not on each request.

        Make wait_before_retry `async def`, call `await asyncio.sleep(...)` in it and await it in `retried`.
        Put `async with asyncio.timeout(deadline):` around `await retried(...)`, take the timeout off the
        request, and take TimeoutError out of TRANSIENT.
    """),
)
