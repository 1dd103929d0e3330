"""Lesson 07: file operations that block the event loop, what moving them to a thread costs, and saves that are whole or absent.

Limit: 1,169 lines, because its check sees every file operation and its thread, on a disk that it makes
slow or full, cuts a save short at every point, and sees what goes on afterwards; its notebook measures
operations, hops and a race.
"""

from loopclinic.lessons.catalogue import Lesson, graded

LESSON = Lesson(
    number="07",
    stem="file_io",
    title="The disk is on the loop, too",
    summary="File operations on the loop: which of them stall it, what a thread costs, and whole files only.",
    minutes=20,
    conflicts=("blocking-file-io", "torn-file", "dropped-task"),
    requires=("00",),
    public=("Saved", "save_clip"),
    deadline=25.0,
    hints=graded("""
        Which lines of `save_clip` touch the disk? All of them have to leave the loop's thread, and not one by
        one: count how often you change to a thread for a clip in chunks of 100 bytes.

        Collect half a megabyte, then write it on a thread. Write to a temporary file in the same folder, sync
        it, and rename it. A cancelled `await` does not stop its thread: wait until the thread is done, then
        clean up, on a thread as well.

        For each piece of blocking work: `job = asyncio.ensure_future(asyncio.to_thread(work))`, then `return
        await asyncio.shield(job)`, and on CancelledError `await asyncio.wait([job])` and `raise`. Around the
        whole save `except BaseException:` close and unlink the temporary file, and `raise`. At the end flush,
        `os.fsync`, close, `os.replace`: one function, one hop.
    """),
)
