"""Lesson 06: a synchronous SDK in async code, and the few threads that everybody shares.

Limit: 1,291 lines, because it notes each call of a real SDK, checks it at a server that is far away, also
while calls wait for a thread and after cancels, keeps that server for all cells of its notebook, and has ten
experiments there besides the race, such as a lock of two loops, a bucket whose policy is missing and a
client for each call.
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="06",
    stem="sync_sdk",
    title="The upload that made every other request slow",
    summary="A synchronous SDK: what a thread cures, what six shared threads break, and what a cancel can't stop.",
    minutes=30,
    conflicts=words(
        "blocking-sdk blocking-http blocking-redis executor-saturation lazy-init-race "
        "swallowed-cancellation abrupt-shutdown"
    ),
    requires=("00",),
    services=("s3",),
    public=("Storage",),
    deadline=20.0,  # the lab as shipped makes its requests one after another
    hints=graded("""
        For each call of `connect` and of the SDK, ask: on which thread does it run, who else needs that
        thread, and what becomes of the call when its caller is cancelled?

        Make a ThreadPoolExecutor(size) in the storage, and do all of a call in one hop to it: connect if need
        be, send, read. Guard connecting with a threading.Lock, inside the hop.

        `await loop.run_in_executor(self._threads, work)`: a cancel takes `work` out of the queue, or leaves
        the thread to end. In `__aexit__`: `await asyncio.to_thread(self._threads.shutdown)`. Set the client
        only once there is a bucket.
    """),
)
