"""Lesson 05: independent work that is awaited one piece after another, and what a speed-up breaks.

Limit: 933 lines, because its check draws batches from seeds, some with empty replies, names the smallest that breaks each of ten
things, and has eight of known shape; its notebook asks a real service, draws each request, and shows what
a speed-up depends on.
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="05",
    stem="sequential_awaits",
    title="The loop is idle, and the user still waits",
    summary="Awaiting independent work in a row: make it fast, and keep order, limit and every failure.",
    minutes=20,
    conflicts=words(
        "sequential-awaits order-broken unisolated-failure dropped-gather-results "
        "unbounded-gather dropped-task swallowed-cancellation shared-connection"
    ),
    requires=("00",),
    public=("Message", "Outcome", "process"),
    hints=graded("""
        Which message has to wait for which? Draw an arrow for each pair in a batch of two senders. What has
        no arrow can run at once.

        Sort the batch into one list for each sender, and give each list a task of its own that awaits its
        messages in a `for`. One semaphore is shared by all of them, one TaskGroup owns them. Catch what a
        message raises around that message.

        `chains.setdefault(message.sender, []).append(message)` sorts. In the task: `async with places:`
        around a try that sets `outcome.replies[message.id] = await handle(message)` or, after `except
        Exception as error`, `outcome.failed[message.id] = error`. Start the tasks in `async with
        asyncio.TaskGroup() as group:`.
    """),
)
