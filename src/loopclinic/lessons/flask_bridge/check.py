"""Check of lab 03: its `Receiver` behind waitress under load, with a locked database, and at SIGTERM."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.core import Budget, Check, Judged, Kept, Place
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.verdicts import none_of, reported
from loopclinic.lessons.database.postgres_verdicts import CONNECTIONS, too_many
from loopclinic.lessons.flask_bridge.check_servers import (
    FORGED,
    GRACE,
    LATER,
    SIZE,
    STORED,
    THREADS,
    TIMEOUT,
    UNUSUAL,
    Death,
    Driving,
    Receivers,
    broken,
    count_statuses,
    not_stored,
    numbered,
    refusals,
    root,
)
from loopclinic.lessons.flask_bridge.receiver_app import NEVER_AWAITED, Seen, Trouble, most_common
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

_TROUBLED = {"500", "503", "0", "-1"}
"""Answers of a lab that could not store a webhook, lost connections and none at all among them."""
_FEW = 0.25
"""Share of webhooks that a busy machine may have answered 503, twice over."""
_ANSWER = 2.5
"""Seconds after which the provider takes a webhook for unanswered."""
_CARRIED, _END = 0.2, 0.6
"""Seconds in which work that goes on for nobody is carried out, and in which cancelled work ends."""
_GATHER, _ARRIVE = 0.4, 1.0
"""Seconds for which rows are held after SIGTERM, and for webhooks to come to where they wait."""
_SOON = 0.3
"""Seconds for connections that are just closing."""
_LOOK = 0.02
_ONE_POOL = "Make one pool in __init__, with max_size=size, for all webhooks."
_STORE_FIRST = "Answer 204 once `await record(database, update)` has come back."


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
        stored, still, view = list(self._stored(found)), judged.found(Standstill), found.made.view
        # What webhooks that fail open follows from that; too many at once are that scene's to report.
        reported = bool(stored) or (still is not None and still.too_many)
        early = still is not None and still.early > 0
        never = [one for one in found.made.unseen if one.message.startswith(NEVER_AWAITED)][:1]
        step, more = (
            "Await it: calling an async function only makes a coroutine.",
            "unawaited-coroutine",
        )
        forgotten = (broken(one.message, step, one.place, conflict=more) for one in never)
        yield from numbered(1, view, forgotten, silent=True)
        yield from numbered(4, view, self._made(found, reported=reported, early=early))
        yield from numbered(1, view, stored)
        yield from numbered(2, view, self._forged(found))

    def _made(self, found: "Load.Found", *, reported: bool, early: bool) -> Iterator[Reason]:
        """Judge loops, connections and threads that were made for single webhooks; one reason at most."""
        many, made, conflict = found.deliveries, found.made, None
        # A query that runs out of time is cancelled over another connection, and may lose its own.
        opened, most = made.opened - 2 * found.put_off, MADE.limit * many
        if made.loops > most:
            number, what, place, conflict = made.loops, "loops", made.runs_at, "loop-per-call"
            said = f"made {count(number, 'event loop')}, each with connections of its own: what belongs to a loop ends with it."
            step = "Run one loop on a thread of its own, and hand it work by asyncio.run_coroutine_threadsafe."
        elif opened > most and not reported:
            number, what, place = made.opened, "connections", made.opened_at
            said, step = f"opened {count(number, 'connection')} to PostgreSQL.", _ONE_POOL
            conflict = "too-many-connections"
        elif made.started > most and not early:
            # Threads that nobody waits for are reported by what is lost with them.
            number, what, place = made.started, "threads", made.started_at
            said = f"started {count(number, 'thread')}."
            step = "Let the server's thread wait: asyncio.run_coroutine_threadsafe(work, loop).result()."
        else:
            return
        figures = {"measured": f"{number / many:.1f} {what} a webhook"}
        figures["budget"] = f"{MADE.limit:g} {what} a webhook"
        yield broken(f"{many} webhooks {said}", step, place, conflict=conflict, **figures)

    def _stored(self, found: "Load.Found") -> Iterator[Reason]:
        """Judge webhooks that a database at leisure did not get; one reason at most."""
        refused, error, made = found.refused, root(found.made.errors), found.made
        often = sum(refused.values()) > _FEW * found.webhooks
        of, answered = f"Of {found.webhooks} webhooks", f"some were answered {refusals(refused)}."
        if refused.keys() - _TROUBLED and not error.message:
            step = "Answer 204 once the update is stored, also to one that is sent again."
            yield broken(f"{of} that the provider signed, {answered}", step)
        elif often or refused.keys() - {str(LATER)}:
            yield not_stored(f"{of}, with an idle database, {answered}", error, made.waits_at)
        elif found.missing and not refused:
            said = f"{of} answered 204, {found.missing} were not in `updates` a second later."
            yield broken(said, _STORE_FIRST, error.place, **none_of(found.missing, "update"))
        elif found.miscounted:
            said = "The sums in `messages` are not those of `updates`."
            step = "Leave it to `record`: it counts an update once, also when it comes twice."
            yield broken(said, step, **none_of(found.miscounted, "message"))
        elif made.recorded < found.webhooks / 2:
            stored = f"{found.webhooks} updates were stored"
            said = f"{stored}, and `record` stored {made.recorded} of them."
            step = "Store by `await record(database, update)`: other code relies on it."
            measured, budget = (count(one, "call") for one in (made.recorded, found.webhooks))
            yield broken(said, step, measured=measured, budget=budget)

    def _forged(self, found: "Load.Found") -> Iterator[Reason]:
        if found.forged_stored or found.let_in:
            kind, status = found.let_in[0] if found.let_in else ("forged", FORGED)
            # What it lets in raises nothing; any other status comes of an error.
            error = Trouble("") if status in {STORED, FORGED} else root(found.made.errors)
            said = f"A webhook that the provider did not sign ({kind}) was answered "
            said += f"{UNUSUAL.get(str(status), status)}{', and stored' * (found.forged_stored > 0)}.{error}"
            step = "Call `genuine` on the bytes as they came, before anything else, and answer 401."
            more = none_of(max(len(found.let_in), found.forged_stored), "forged webhook")
            yield broken(said, step, error.place, **more)


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
                yield from numbered(4, made.view, self._connections(found, made.opened_at))
            yield from numbered(3, made.view, self._answers(found), silent=found.early > 0)
        lost = end is not None and end.lost > 0  # which reports the same
        yield from numbered(1, made.view, () if lost else self._early(found), silent=lost)

    def _early(self, found: "Standstill.Found") -> Iterator[Reason]:
        if found.early:
            said = "While the database hung, answers of 204 came "
            said += f"to {count(found.early, 'webhook')}: nothing "
            said += "was stored, and only this process knew of them."
            step, more = "Answer once the update is stored.", none_of(found.early, "answer")
            yield broken(said, step, conflict="dropped-task", **more)
        elif found.missing and not found.refused:
            said = f"The database was back, and {count(found.missing, 'webhook')} of those that came again "
            said += "were answered 204 and not stored."
            yield broken(said, _STORE_FIRST, **none_of(found.missing, "update"))

    def _connections(self, found: "Standstill.Found", opened_at: Place | None) -> Iterator[Reason]:
        """Judge how many connections there were, and how many of them were at work; one reason at most."""
        if found.too_many:
            yield from too_many(found.sessions, SIZE, opened_at, promise=4, next_step=_ONE_POOL)
        elif found.waiting <= SIZE / 2:
            how = "the bridge takes them one after another."
            step = "Start each webhook's work at once; the pool keeps them to `size`."
            place = found.after.waits_at or most_common(Counter(found.middle.tasks_at))
            if found.middle.recording > found.waiting:
                how = f"{found.middle.recording} calls of `record` shared what the pool had."
                step, place = "Give the pool max_size=size.", opened_at or place
            had = f"{found.waiting} of {SIZE} connections had one"
            said = f"With {THREADS} webhooks to be stored, {had}: {how}"
            more = {"measured": f"{found.waiting} at once", "budget": f"{SIZE} at once"}
            yield broken(said, step, place, conflict="sequential-awaits", timed=True, **more)

    def _answers(self, found: "Standstill.Found") -> Iterator[Reason]:
        """Judge the answers, what they leave behind, and what becomes of webhooks that come again."""
        late, error, still = found.unanswered, root(found.errors), "While the database hung"
        if late:
            who, why = f"{late} of {THREADS} webhooks", "each keeps a thread of the server"
            if late == THREADS:
                who = f"{late} webhooks"
                why = "as many as there are threads, so the server answers nobody"
            said = f"{still}, {who} had no answer after {span(found.seconds)}: {why}."
            step = "Put asyncio.timeout(timeout) around the work, and answer TimeoutError with 503."
            more = {
                "measured": f"over {found.seconds / TIMEOUT:.0f} x timeout",
                "budget": str(LATE),
            }
            more["conflict"], place = "missing-deadline", found.after.waits_at
            yield broken(said, step, place, timed=True, **more)
            return
        others = {k: n for k, n in found.answered.items() if k not in {str(LATER), str(STORED)}}
        if others:
            said = f"{still}, webhooks were answered {refusals(others)} instead of 503.{error}"
            step = "Answer 503 when the deadline passes: the provider sends it again."
            yield broken(said, step, error.place)
        if not found.early:  # answers that came too early are reported by what SIGTERM does to them
            yield from self._left_behind(found)
            yield from self._back(found, error)

    def _left_behind(self, found: "Standstill.Found") -> Iterator[Reason]:
        webhooks = sum(found.answered.values())
        most = PILED_UP.limit * webhooks
        if found.left > most:
            goes_on = f"{found.left} tasks and threads kept working on them"
        elif found.carried_out > most:
            stored = f"{found.carried_out} of them were stored"
            goes_on = f"{stored} all the same, once the rows were free"
        else:
            return
        said = f"{webhooks} webhooks were answered 503, and {goes_on}: with every redelivery there are more."
        step = "End the work at the deadline, not only the wait: asyncio.timeout inside it, or future.cancel()."
        place = found.after.waits_at or next(iter(found.after.tasks_at), None)
        if shield := next((one for one in found.middle.tasks_at if "shield(" in one.code), None):
            step = "Await the work itself: asyncio.shield keeps the deadline from ending it."
            place = shield
        left = max(found.left, found.carried_out) / webhooks
        more = {"measured": f"{left:.1f} left behind for each 503", "budget": str(PILED_UP)}
        yield broken(said, step, place, conflict="unbounded-gather", **more)

    def _back(self, found: "Standstill.Found", error: Trouble) -> Iterator[Reason]:
        if sum(found.refused.values()) > _FEW * sum(found.answered.values()):
            said = "The database was back, and the same webhooks were answered "
            yield not_stored(f"{said}{refusals(found.refused)}.", error, None)
        elif found.miscounted:
            said = "A webhook that was answered 503 and came again was counted twice."
            step = "Leave it to `record`: it counts an update once."
            yield broken(said, step, **none_of(found.miscounted, "message"))


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
        yield from numbered(1, made.view, self._lost(found))
        forgets = found.lost > 0 or (still is not None and still.early > 0)
        if judged.keeps(Load, 1):  # else it is reported already why webhooks fail
            closing, silent = self._closing(found, forgets=forgets), forgets or bool(found.failed)
            yield from numbered(5, made.close, closing, silent=silent)
        if not judged.reasons:
            unseen = [(one.message, one.place) for one in found.after.unseen]
            dropped = [one for one in unseen if one[0].startswith(("Task", "Future"))]
            unclosed = [one for one in unseen if one[0].startswith("Unclosed")]
            yield from numbered(1, made.view, reported(dropped), silent=True)
            yield from numbered(5, made.close, reported(unclosed), silent=True)
        if not judged.reasons:  # what comes late also fails of what is reported already
            yield from numbered(5, made.close, self._latecomers(found), silent=True)

    def _lost(self, found: "Sigterm.Found") -> Iterator[Reason]:
        if found.lost:
            said = f"At SIGTERM, {found.lost} of {found.promised} updates were lost: answered 204, and in no "
            said += "table. The provider will not send them again."
            step = "Answer once the update is stored; whoever waits for it keeps it."
            place, more = found.closed.waits_at, none_of(found.lost, "update")
            yield broken(said, step, place, conflict="dropped-task", **more)

    def _closing(self, found: "Sigterm.Found", *, forgets: bool) -> Iterator[Reason]:
        """Judge the end of `close` and the answers to webhooks that were under way."""
        closed, place, refused = found.closed, found.closed.waits_at, found.refused
        error = closed.errors[0] if closed.errors else Trouble("")
        if closed.late:
            said = f"`close()` was not over {span(GRACE)} after SIGTERM."
            step = "Wait for the webhooks in flight, each of which has its deadline; then close."
            more: dict[str, Any] = {"measured": f"over {span(GRACE)}", "budget": span(GRACE)}
            yield broken(said, step, place, conflict="missing-deadline", timed=True, **more)
            return
        if closed.closing:
            said = f"`close()` raised {closed.closing}."
            step = "Close the pool on the loop it belongs to, then stop the loop."
            yield broken(said, step, place)
        if refused:
            said = f"At SIGTERM, {self.under_way} webhooks were in flight; they were answered "
            said += f"{refusals(refused)}.{error}"
            step = (
                "In close(), wait for those in flight before you take down the pool and the loop."
            )
            more = none_of(sum(refused.values()), "webhook")
            yield broken(said, step, error.place, conflict="dropped-task", **more)
        elif closed.connections and not forgets:
            more = none_of(closed.connections, "connection")
            said = f"When close() had returned, {more['measured']} stayed open."
            step = "Close the pool in close(), on its loop, and wait for that."
            yield broken(said, step, place, conflict="unclosed-resource", **more)

    def _latecomers(self, found: "Sigterm.Found") -> Iterator[Reason]:
        """Judge webhooks that came after SIGTERM and were answered neither 503 nor truly 204."""
        if not found.failed:
            return
        # What got no answer, or is lost, is with no one; the rest was answered by an error.
        dropped = bool(found.failed.keys() & {str(UNANSWERED), str(STORED)})
        error = found.after.errors[-1] if found.after.errors else Trouble("")
        said = f"Of {found.latecomers} webhooks that came after SIGTERM, some were answered "
        said += f"{refusals(found.failed)}.{error}"
        step = "Answer 503 once close() was called, also when it has returned: the provider sends it again."
        place = found.after.waits_at if dropped else error.place
        more = none_of(sum(found.failed.values()), "webhook")
        more["conflict"] = "dropped-task" if dropped else None
        yield broken(said, step, place, timed=dropped, **more)


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
