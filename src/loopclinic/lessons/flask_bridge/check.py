"""Check of lab 03: its `Receiver` behind waitress under load, with a locked database, and at SIGTERM."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.core import Budget, Check, Judged, Kept
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.verdicts import reported
from loopclinic.lessons.database.postgres_verdicts import CONNECTIONS
from loopclinic.lessons.flask_bridge import webhook_verdicts as reasons
from loopclinic.lessons.flask_bridge.check_servers import (
    FORGED,
    GRACE,
    LATER,
    SIZE,
    STORED,
    THREADS,
    TIMEOUT,
    Death,
    Driving,
    Receivers,
    count_statuses,
)
from loopclinic.lessons.flask_bridge.receiver_app import NEVER_AWAITED, Seen, Trouble
from loopclinic.lessons.flask_bridge.webhook_verdicts import numbered
from loopclinic.lessons.flask_bridge.webhooks import LOST, UNANSWERED, Provider, Webhook, forge
from loopclinic.units import count, span
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

MADE = Budget(
    0.25,
    "a webhook",
    "A count of event loops, of connections and of threads. A right answer makes none for a webhook, "
    "asyncio.run in the route makes one.",
)
LATE = Budget(
    2.0,
    "x timeout",
    "A right answer takes 1; one without a deadline takes as long as the database stands.",
)
PILED_UP = Budget(
    0.5,
    "left behind for each 503",
    "A count of tasks and threads. A right answer leaves none; one that gives up waiting and lets the "
    "work go on leaves 1.",
)

_ANSWER = 2.5
"""Seconds after which the provider takes a webhook for unanswered."""
_CARRIED, _END = 0.2, 0.6
"""Seconds in which work that goes on for nobody is carried out, and in which cancelled work ends."""
_GATHER, _ARRIVE = 0.4, 1.0
"""Seconds for which rows are held after SIGTERM, and for webhooks to come to where they wait."""
_SOON = 0.3
"""Seconds for connections that are just closing."""
_LOOK = 0.02


class Load(Driving):
    """A plain load: what is stored, what is refused, and what is made for it."""

    webhooks = 40
    title, promises = f"{webhooks} webhooks, {THREADS} at a time", (1, 2, 4)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of genuine and forged webhooks, and what the server's process made meanwhile."""

        webhooks: int
        deliveries: int
        put_off: int
        """Deliveries that were answered 503."""
        refused: dict[str, int]
        """Last answers that were not 204, by status."""
        let_in: list[tuple[str, int]]
        """Kind and status of each forged webhook that was not answered 401."""
        forged_stored: int
        missing: int
        miscounted: int
        made: Seen

    async def serve(self, receivers: Receivers, stage: "Stage") -> Any:
        server, outside, ledger = receivers.serving, stage.outside, receivers.ledger
        stage.step("starting the server")
        if not await receivers.start(server):
            return None
        stage.step(self.title)
        async with Provider(server.url, timeout=_ANSWER) as provider:
            warm = receivers.draw(THREADS, "warm")
            await provider.many(warm, at_once=THREADS, again=2)
            # What stored none of these will not store more of others: it would only take its time.
            hopeless = not await receivers.stored(warm)
            before = await receivers.seen(server)
            honest = receivers.draw(THREADS if hopeless else self.webhooks, "load")
            again, tries = honest[:5], 0 if hopeless else 2
            forged = forge(stage.rng, receivers.secret, label="forged")
            mixed = [*honest[:20], *forged, *honest[20:]]
            sent = await provider.many(mixed, at_once=THREADS, again=tries)
            sent += await provider.many(again, at_once=len(again), again=tries)
        stored = await receivers.stored(honest)
        after = await receivers.seen(server)
        receivers.over = not stored  # what stores nothing has nothing to lose at SIGTERM
        genuine = [one for one in sent if one.webhook.honest]
        last = {one.webhook.body + one.webhook.signature.encode(): one for one in sent}.values()
        answers = [(one.webhook.kind, one.status) for one in last if not one.webhook.honest]
        counts = ("recorded", "loops", "opened", "started")
        made = {name: getattr(after, name) - getattr(before, name) for name in counts}
        return self.Found(
            webhooks=len(honest),
            deliveries=len(genuine),
            put_off=sum(one.status == LATER for one in genuine),
            refused=count_statuses(
                (one.status for one in last if one.webhook.honest), besides=STORED
            ),
            let_in=[(kind, status) for kind, status in answers if status != FORGED],
            forged_stored=await outside(ledger.labelled, "forged"),
            missing=len(honest) - len(stored),
            miscounted=await outside(ledger.miscounted),
            made=replace(after, **made),
        )

    def judge(self, found: "Load.Found", judged: Judged) -> Iterator[Reason | Kept]:
        still, view = judged.found(Standstill), found.made.view
        stored = list(reasons.stored(found))
        # What webhooks that fail open follows from that; too many at once are that scene's to report.
        reported = bool(stored) or (still is not None and still.too_many)
        early = still is not None and still.early > 0
        never = [one for one in found.made.unseen if one.message.startswith(NEVER_AWAITED)][:1]
        yield from numbered(1, view, map(reasons.never_awaited, never), silent=True)
        made = reasons.made(found, MADE, reported=reported, early=early)
        yield from numbered(4, view, made)
        yield from numbered(1, view, stored)
        yield from numbered(2, view, reasons.forged_let_in(found))


class Standstill(Driving):
    """The rows are held: who is answered, with what, how soon, and what is left behind."""

    title, promises = "a database that stands still", (1, 3, 4)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What was answered, what PostgreSQL saw, what was left, and what came of it afterwards."""

        answered: dict[str, int]
        early: int
        """Answered 204."""
        unanswered: int
        seconds: float
        """Until the last answer of the first wave, or until it was given up."""
        sessions: int
        """The most at one moment."""
        waiting: int
        """The most that waited for a row at one moment."""
        middle: Seen
        after: Seen
        """When the last of the second wave was answered, or those of the first were given up."""
        left: int
        """Tasks and threads that went on with webhooks that were answered."""
        carried_out: int
        """Webhooks that were answered 503 and stored when the rows were free, before they came again."""
        refused: dict[str, int]
        missing: int
        miscounted: int
        errors: list[Trouble]

        @property
        def too_many(self) -> bool:
            """Whether there were more connections than there may be.

            What is answered at once is no standstill: how many came until then is luck.
            """
            return self.sessions > CONNECTIONS.limit * SIZE and not self.early

    async def serve(self, receivers: Receivers, stage: "Stage") -> Any:
        server, ledger, patience = receivers.serving, receivers.ledger, LATE.limit * TIMEOUT
        first, second = receivers.draw(THREADS, "still"), receivers.draw(THREADS, "still-more")
        look = partial(receivers.seen, server)
        before, middle, after = await look(), None, Seen()
        waiting = sessions = left = 0

        def left_of(now: Seen) -> int:
            return max(0, now.tasks - before.tasks) + max(0, now.threads - before.threads)

        async with Provider(server.url, timeout=_ANSWER) as provider:
            async with stage.at_work(ledger.hold()):
                sent = [asyncio.create_task(provider.one(one)) for one in first]
                began = stage.clock()
                while (seconds := stage.clock() - began) < patience:
                    if all(one.done() for one in sent):
                        break
                    seen = await stage.outside(ledger.count, "serving")
                    waiting, sessions = max(waiting, seen.waiting), max(sessions, seen.open)
                    if seconds > TIMEOUT / 2 and middle is None:
                        middle = await look()
                    await stage.sleep(_LOOK)
                receivers.ending.launch()  # nothing more is counted that it could add to
                done = (one.result() for one in sent if one.done())
                answers = [one for one in done if one.seconds <= patience]
                early = sum(one.status == STORED for one in answers)
                unanswered = len(first) - len(answers)
                if unanswered:
                    after = await look()
                elif not early:
                    seconds = max(one.seconds for one in answers)
                    answers += await provider.many(second, at_once=THREADS)
                    most = PILED_UP.limit * len(answers)
                    after = await stage.until(look, lambda now: left_of(now) <= most, _END)
                    left = left_of(after)
            await stage.wait(sent, timeout=2.0)
            for one in sent:
                one.cancel()
            await stage.sleep(_CARRIED)
            stored = await stage.outside(ledger.stored, {one.webhook.id for one in answers})
            stage.step("the same webhooks again, once the database is back")
            back = [*first, *second]
            again = await provider.many(back, at_once=THREADS, again=3)
        missing = len(back) - len(await receivers.stored(back))
        stage.vital(connections_at_standstill=sessions, seconds_to_503=round(seconds, 3))
        statuses = {one.webhook.id: one.status for one in again}.values()
        return self.Found(
            answered=count_statuses(one.status for one in answers),
            early=early,
            unanswered=unanswered,
            seconds=seconds,
            sessions=sessions,
            waiting=waiting,
            middle=middle or Seen(),
            after=after,
            left=left,
            carried_out=0 if early or unanswered else len(stored),
            refused=count_statuses(statuses, besides=STORED),
            missing=missing,
            miscounted=await stage.outside(ledger.miscounted),
            errors=(await look()).errors,
        )

    def judge(self, found: "Standstill.Found", judged: Judged) -> Iterator[Reason | Kept]:
        made, end = judged.expect(Load).made, judged.found(Sigterm)
        if judged.keeps(Load, 1):
            if not found.early:
                held = reasons.connections_held(found, made.opened_at)
                yield from numbered(4, made.view, held)
            answers = reasons.answers(found, LATE, PILED_UP)
            yield from numbered(3, made.view, answers, silent=found.early > 0)
        lost = end is not None and end.lost > 0  # which reports the same
        yield from numbered(
            1, made.view, () if lost else reasons.answered_early(found), silent=lost
        )


class Sigterm(Driving):
    """SIGTERM, in the middle of webhooks that wait for their rows; others come until all is over."""

    title, promises = "SIGTERM in the middle of the load", (1, 5)
    under_way = THREADS - 1
    """Webhooks at SIGTERM: one thread stays free for one that comes later."""
    following = 3
    """Webhooks that each connection sends after its first one was answered: while `close` ends."""

    @dataclass(frozen=True, slots=True)
    class Found:
        """How `close` ended, what was answered and what of it is stored."""

        promised: int
        """Webhooks under way that were answered 204."""
        lost: int
        """Of these, not stored."""
        refused: dict[str, int]
        """Other answers by status, -1 for none."""
        latecomers: int
        """Webhooks that came after SIGTERM."""
        failed: dict[str, int]
        """Their answers by status, -1 for none, but for 503 and for 204 of what is stored."""
        closed: Seen
        """When all is answered that was under way."""
        after: Seen
        """When what came later should be answered, too."""

    async def serve(self, receivers: Receivers, stage: "Stage") -> Any:
        server, outside, ledger = receivers.ending, stage.outside, receivers.ledger
        await receivers.serving.close_async()
        if not await receivers.start(server):
            return None
        due = receivers.draw(self.under_way, "last")
        late = receivers.draw(1 + self.following * len(due) + THREADS, "too-late")
        following, wave = late[1:-THREADS], late[-THREADS:]
        answers: dict[str, int] = {}
        terminated, look = asyncio.Event(), partial(receivers.seen, server)
        async with Provider(server.url, timeout=2 * GRACE) as provider:
            await provider.many(receivers.draw(THREADS, "warm-too"), at_once=THREADS, again=3)
            await provider.connect(len(due) + len(late))
            idle = (await look()).inside

            async def deliver(first: Webhook, *others: Webhook) -> None:
                """Send the first webhook now, the others after it, and after SIGTERM."""
                for one in (first, *others):
                    answers[one.id] = UNANSWERED
                    answers[one.id] = (await provider.one(one)).status
                    await terminated.wait()

            async def wait() -> bool:
                """Return whether as many as can wait for a row do so, and the others in the lab."""
                if all(answers.get(one.id, UNANSWERED) != UNANSWERED for one in due):
                    return True
                if (await outside(ledger.count, "ending")).waiting < SIZE:
                    return False
                return (await look()).inside >= idle + len(due)

            async with stage.at_work(ledger.hold()):
                sent = [
                    asyncio.create_task(deliver(one, *following[number :: len(due)]))
                    for number, one in enumerate(due)
                ]
                await stage.until(wait, bool, _ARRIVE)
                server.terminate()
                terminated.set()
                await stage.sleep(_GATHER / 4)
                sent.append(asyncio.create_task(deliver(late[0])))
                # Held until close() has been waiting for a while, or did not wait at all.
                phase = await stage.until(server.phase_async, "closed".__eq__, 0.75 * _GATHER)
                closed = after = await look()
                if phase == "closed":
                    # It is dead before the rows are free. A statement that waits for a row would be
                    # carried out all the same, since PostgreSQL does not look whether anybody still
                    # listens: that would be luck, not care.
                    await server.close_async()
                    await outside(partial(ledger.end, within=1.0), "ending")
            if phase != "closed":
                await stage.until(server.phase_async, "closed".__eq__, 2 * GRACE)
                # Connections that are just closing get a moment.
                closed = await stage.until(look, lambda now: not now.connections, _SOON)
                sent += [asyncio.create_task(deliver(one)) for one in wave]
            await stage.wait(sent, timeout=0.5)
            if phase != "closed":
                after = await look()
            for one in sent:
                one.cancel()
            await stage.wait(sent)
        await server.close_async()
        stored = await outside(ledger.stored, list(answers))
        promised = {one.id for one in due if answers[one.id] == STORED}
        came = {one.id: answers[one.id] for one in late if one.id in answers}
        # A connection that is refused or cut off is the server's doing, not the lab's.
        fine = {STORED: stored, LATER: came, LOST: came}
        return self.Found(
            promised=len(promised),
            lost=len(promised - stored),
            refused=count_statuses((answers[one.id] for one in due), besides=STORED),
            latecomers=len(came),
            failed=count_statuses(
                status for name, status in came.items() if name not in fine.get(status, ())
            ),
            closed=closed,
            after=after,
        )

    def judge(self, found: "Sigterm.Found", judged: Judged) -> Iterator[Reason | Kept]:
        made, still = judged.expect(Load).made, judged.found(Standstill)
        yield from numbered(1, made.view, reasons.lost(found))
        forgets = found.lost > 0 or (still is not None and still.early > 0)
        if judged.keeps(Load, 1):  # else it is reported already why webhooks fail
            closing = reasons.closing(found, self.under_way, forgets=forgets)
            yield from numbered(5, made.close, closing, silent=forgets or bool(found.failed))
        if not judged.reasons:
            unseen = [(one.message, one.place) for one in found.after.unseen]
            dropped = [one for one in unseen if one[0].startswith(("Task", "Future"))]
            unclosed = [one for one in unseen if one[0].startswith("Unclosed")]
            yield from numbered(1, made.view, reported(dropped), silent=True)
            yield from numbered(5, made.close, reported(unclosed), silent=True)
        if not judged.reasons:  # what comes late also fails of what is reported already
            yield from numbered(5, made.close, reasons.latecomers(found), silent=True)


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    load, still, end = judged.expect(Load), judged.expect(Standstill), judged.expect(Sigterm)
    return (
        f"{load.webhooks} webhooks made {count(load.made.loops, 'event loop')}. While the "
        f"database hung, {still.sessions} connections waited, and 503 came after {span(still.seconds)}. Of "
        f"{end.promised} webhooks in flight at SIGTERM none was lost."
    )


CHECK = Check(
    scenes=(Load(), Standstill(), Sigterm(), Death(Load)),
    praise=praise,
    leaves_nothing=5,
    # A loop of the module's own, started when it is imported, is no leftover: it lives as long.
    leftovers_judged=("tasks", "threads"),
)

FIGURES = (Figure("seconds_to_503", "A database at a standstill: 503 after", "s", 0.62),)
