"""Lesson 09: tasks that interleave between a check and the step that depends on it.

Limit: 1,226 lines, because it has a store in memory and one on Valkey, a check that kills a process after
each command and searches schedules of one and of two, and a notebook with two processes, a killed one,
a customer and a cache in virtual time, pools of several sizes, a late answer and a race.
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="09",
    stem="await_races",
    title="Between these two lines, somebody else ran",
    summary="Races between tasks: find them by a search over schedules, and fix them where the counter is kept.",
    minutes=30,
    conflicts=words(
        "non-atomic-counter lazy-init-race blocking-sleep dropped-task sequential-awaits"
    ),
    requires=("00",),
    services=("valkey",),
    public=("Limiter",),
    deadline=30.0,  # it waits for nothing, but an answer that asks again and again computes for seconds
    hints=graded("""
        At each `await` in `allow`, other calls may run. What did the line before it find out, and is that
        still true in the line after it? And if the process dies there, when does the counter expire?

        Let the store do in one step what belongs together: count, and set the counter's expiry. Decide from
        the sum that it returns. Only connecting needs a lock in the process.

        `await store.transaction(("set", key, 0, {"ex": window, "nx": True}), ("incr", key))` begins a window
        only if there is none, and counts. A call is allowed if its sum is at most `limit`. Connect under an
        asyncio.Lock, check again inside it, and set the attribute after the await.
    """),
)
