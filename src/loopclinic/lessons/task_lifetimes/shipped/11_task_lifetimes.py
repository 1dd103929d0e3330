"""Lab 11: the task that vanished, and its error with it.

A chat bot answers "on it" and starts a job: a print, a refund, a reminder. Some jobs vanish, some
errors are never seen, and at each restart work is lost that was nearly done. Fix that.

What `Jobs` must do when you are done:

1. A job that `start(name, factory)` starts runs to its end although nobody else holds it. `start` has
   `factory()` run as a task, and returns True. Names may repeat.
2. Each error of a job reaches `on_error(name, error)` once, as soon as the job has ended with it, also
   during `close`. A cancelled job is no error.
3. An `on_error` that raises disturbs nothing else: jobs go on, later errors arrive, `close` returns.
4. `close(grace)` lets the jobs under way go on for up to `grace` seconds, and returns as soon as the
   last has ended.
5. What still runs then is cancelled, once, and when `close` returns, every job has ended, its clean-up
   included. This holds for each of several calls of `close`, and none cuts a clean-up short.
6. From the call of `close` on, `start` returns False and does not call the factory, whoever asks: a
   job, too, and the clean-up of a job that is cancelled.
7. Nothing is kept of a job that has ended.

Keep these names and signatures: `Jobs`, `start`, `close`. The rest is yours to change.

How it is judged: `loopclinic check 11`, or `loopclinic watch 11` for a verdict on every save. The check
runs in virtual time and collects garbage between its steps. `on_error` is a plain function, `start` is
called on the loop. `close` and errors may come a tenth of a second late, or a tenth of the grace. What
a Jobs and your module keep is counted over 10,000 jobs, and may grow by one object for every two.
"""

import asyncio
from collections.abc import Awaitable, Callable


class Jobs:
    """Work in the background; `on_error(name, error)` is told of each job that fails."""

    def __init__(self, on_error: Callable[[str, BaseException], object]) -> None:
        self._on_error = on_error
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, factory: Callable[[], Awaitable[object]]) -> bool:
        """Start a job, unless closed; return whether it was started."""
        asyncio.create_task(self._run(name, factory))
        return True

    async def _run(self, name: str, factory: Callable[[], Awaitable[object]]) -> None:
        del name
        await factory()

    async def close(self, grace: float) -> None:
        """Let jobs end for up to `grace` seconds, then cancel the rest."""
        del grace
        for task in self._tasks:
            task.cancel()
