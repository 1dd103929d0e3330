"""Lesson 11: background tasks that vanish, errors that nobody sees, restarts that lose work.

Limit: 1,462 lines, because it has a Bot API server with a printer, a bot of python-telegram-bot in a process
that is restarted, a census of what holds a task, five ways to start a job and clean-ups of a day, besides its check.
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="11",
    stem="task_lifetimes",
    title="The task that vanished, and its error with it",
    summary="Background jobs: who holds them, who is told of their errors, and what a restart does to them.",
    minutes=30,
    conflicts=words(
        "dropped-task unseen-task-error abrupt-shutdown missing-deadline unisolated-failure"
    ),
    requires=("00",),
    public=("Jobs",),
    hints=graded("""
        For each job, ask three questions: who holds the task while it waits, who looks at it when it ends,
        and who waits for it when the bot stops?

        Hold tasks in a set that each task leaves when it ends. Run the factory in a coroutine of your own
        that catches what it raises and reports it. In close: refuse, wait, cancel, wait.

        `task.add_done_callback(self._tasks.discard)` lets go. `asyncio.wait(self._tasks, timeout=grace)`
        waits and cancels nothing; after it, cancel what is left and `asyncio.wait` once more, without a
        timeout. Both only if the set is not empty. Wrap `on_error` in a try.
    """),
)
