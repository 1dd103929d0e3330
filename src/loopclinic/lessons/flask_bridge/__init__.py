"""Lesson 03: async code called from Flask, and webhooks that are acknowledged and then lost.

Limit: 2,449 lines, because its lab runs in the process of a web server: what it does there has to be
counted there (`receiver_app`), its webhooks have to be signed, sent and found in the database
(`webhooks`), and a SIGTERM is judged by every webhook before, during and after it (`check`, with the
servers in `check_servers` and the reasons in `webhook_verdicts`). The notebook measures the same on two kinds of server (`bridge_servers`, `story`),
draws a standstill (`standstill`), and what two patches of asyncio cost and break in processes of their
own (`patched_asyncio`).
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="03",
    stem="flask_bridge",
    title="The webhook that answers, and forgets",
    summary="Async code called from Flask: a loop per request, updates lost during a deploy, and a bridge that loses none.",
    minutes=40,
    conflicts=words(
        "loop-per-call loop-bound-primitive dropped-task missing-deadline sequential-awaits "
        "too-many-connections unbounded-gather nested-loop unclosed-resource"
    ),
    requires=("01",),
    services=("postgres",),
    public=("Receiver", "record"),
    hints=graded("""
        Count event loops and pools: how many are there after a hundred webhooks, and how many are needed?
        Then: when the response is sent, where is the update? Who waits for it when SIGTERM comes?

        Create one event loop for the whole process in __init__, on its own thread, with one pool created on
        that loop. A request submits its work to it and waits for the result, with a deadline that also
        cancels the work. From the moment close() begins, later requests get 503; it waits for those in
        flight, then closes the pool.

        loop = asyncio.new_event_loop(); Thread(target=loop.run_forever, daemon=True).start(). Per webhook:
        future = asyncio.run_coroutine_threadsafe(work(), loop); future.result(). In work: `async with
        asyncio.timeout(timeout): await record(pool, update)`, and TimeoutError becomes 503. Submit and keep
        the future under a threading.Lock, unless `self.closed`: then answer 503. close() sets `self.closed`
        under that lock and calls concurrent.futures.wait on the futures. Then it closes the pool over the
        bridge, and calls loop.call_soon_threadsafe(loop.stop).
    """),
    # Two web servers start for it: on a machine with other work that alone takes seconds.
    deadline=20.0,
)
