"""Lesson 10: a dependency that turns slow, and what keeps the rest alive.

Limit: 1,364 lines, because its check has a service in memory that is slow, down, tried and well again, and its
notebook has a pool that runs dry, three health checks of a shop that hangs, guards around an SDK, fallbacks in
four cases, four breakers side by side, and in virtual time outages and a quota.
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="10",
    stem="failing_upstreams",
    title="One slow dependency takes everything down",
    summary="Deadlines, places, breakers and honest fallbacks: keep a service up while one it depends on is not.",
    minutes=35,
    conflicts=words(
        "sync-circuit-breaker half-open-stampede masked-failure retry-storm missing-deadline "
        "unbounded-gather swallowed-cancellation dropped-task blocking-sleep"
    ),
    requires=("01",),
    public=("Prices", "Price", "UnavailableError"),
    deadline=20.0,
    hints=graded("""
        What does the breaker get to see: a call that has failed, or a coroutine that nobody has awaited yet?
        And who learns of a KeyError that comes from your own code?

        Await inside the code that counts. Count ConnectionError and TimeoutError only, let everything else through,
        and give the probe back on every way out. One time at which all waits end serves the whole call.

        `async with asyncio.timeout_at(until): value = await self._fetch(item)` inside a `try`, whose
        `except (ConnectionError, TimeoutError)` counts and whose `finally` ends the probe. A semaphore around
        it holds the places; check whether the service rests before you wait for one, and again after.
    """),
)
