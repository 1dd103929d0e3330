"""Lesson 12: async code that is called from synchronous code, such as the tasks of a Celery worker.

Limit: 1,419 lines, because a real worker calls its lab (`celery_worker`, `bridge_scene`), closing is judged by
connections, threads, loops and a process of its own, and the notebook runs
the tasks of a worker in five ways, also of one that forks, and renewals that charge again.
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="12",
    stem="loop_boundaries",
    title="asyncio.run() cannot be called from a running event loop",
    summary="Async code in Celery tasks: what a loop for each task costs, what patches break, one loop for a process.",
    minutes=35,
    conflicts=words(
        "nested-loop get-event-loop loop-per-call loop-bound-primitive lazy-init-race "
        "missing-deadline too-many-connections sequential-awaits dropped-task abrupt-shutdown "
        "unclosed-resource"
    ),
    requires=("03",),
    services=("postgres", "valkey"),
    public=("Bridge",),
    deadline=25.0,  # a Celery worker starts for it, and makes a thousand calls
    hints=graded("""
        Count loops, pools and threads: how many does a call make, and how many does a process need? Then ask
        of each thread that calls `run`: does a loop run on it already, and who is waiting?

        Let the first call start one thread with one loop, under a threading.Lock, and make the pool on that
        loop. Hand each call over with asyncio.run_coroutine_threadsafe and wait for its result; put the
        deadline into the coroutine. Look for a running loop before anything else.

        In `run`: `asyncio.get_running_loop()` must raise RuntimeError, or you do.
        `run_coroutine_threadsafe(self._call(work, timeout), loop).result()`, with `async with
        asyncio.timeout(timeout): return await work(pool)` in `_call`. The thread is a daemon. `close` refuses
        new calls under the lock, waits for the others, closes the pool on the loop, stops and closes the
        loop.
    """),
)
