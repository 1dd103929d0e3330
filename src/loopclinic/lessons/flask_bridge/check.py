"""The check of lab 03: its `Receiver` behind waitress, under load, at a standstill, and at SIGTERM."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from loopclinic.lessons.core import Check, Judged, Kept, Place, Scene
from loopclinic.lessons.core.call import place_of
from loopclinic.lessons.core.verdicts import at
from loopclinic.lessons.flask_bridge.provider import Delivery, Provider
from loopclinic.lessons.flask_bridge.receivers import GRACE, SIZE, THREADS, TIMEOUT, Receivers
from loopclinic.lessons.flask_bridge.updates import forge
from loopclinic.lessons.lesson import Budget
from loopclinic.lessons.wording import span
from loopclinic.servers.process import ServerError
from loopclinic.units import count
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

__all__ = ["CHECK", "CONNECTIONS", "LATE", "MADE", "PILED_UP"]

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
CONNECTIONS = Budget(1.0, "x size", "A count, at PostgreSQL: sessions at one moment.")

_STORED, _LATER, _FORGED = 204, 503, 401
_FEW = 0.25
"""Share of webhooks that a busy machine may have answered 503, twice over."""
_ANSWER = 2.5
"""Seconds after which the provider takes a webhook for unanswered."""
_GATHER, _ARRIVE = 0.4, 1.0
"""Seconds for which rows are held after SIGTERM, and for webhooks to come to where they wait."""
_SOON, _END = 0.3, 0.6
"""Seconds for connections that are just closing, and for cancelled work to come to its end."""
_LOOK = 0.02

_FOREIGN = re.compile(r"attached to a different loop|different event loop|Event loop is closed")
"""How asyncio says that something belongs to another loop."""
_ONE_POOL = "Make one pool in __init__, with max_size=size, for all webhooks."

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error of the lab's, and the line it came from; as the end of a text by `str`."""

    message: str
    place: Place | None = None

    def __str__(self) -> str:
        return f" {self.message}" if self.message else ""


class _Driving(Scene[F]):
    """A scene that drives a server of the lab's, and ends where that can't go on."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> F | None:
        receivers = await stage.shared(Receivers, lab, stage)
        if receivers.over:
            return None
        try:
            return await self.serve(receivers, stage)
        except ServerError as error:
            await stage.outside(receivers.ledger.look)  # else it is PostgreSQL that is gone
            receivers.end(f"In the middle of it, {str(error)[:300]}")
            return None

    async def serve(self, receivers: Receivers, stage: "Stage") -> F | None:
        """Drive the scene's server and return the finding."""
        raise NotImplementedError


class Load(_Driving["Load.Found"]):
    """A plain load: what is stored, what is refused, and what is made for it."""

    webhooks = 40
    title, promises = f"{webhooks} webhooks, {THREADS} at a time", (1, 2, 4)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of genuine and forged webhooks, and what the server's process made meanwhile."""

        view: Place | None
        """Where the lab answers webhooks."""
        close: Place | None
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
        recorded: int
        loops: int
        opened: int
        """Connections to the database."""
        started: int
        """Threads."""
        runs_at: Place | None
        opened_at: Place | None
        started_at: Place | None
        waits_at: Place | None
        errors: list[Trouble]

    async def serve(self, receivers: Receivers, stage: "Stage") -> "Load.Found | None":
        server, outside, ledger = receivers.serving, stage.outside, receivers.ledger
        stage.step("starting the server")
        await receivers.start(server)
        if receivers.over:
            return None
        stage.step(self.title)
        async with Provider(server.url, timeout=_ANSWER) as provider:
            warm = receivers.draw(THREADS, "warm")
            await provider.many(warm, at_once=THREADS, again=2)
            # What stored none of these will not store more of others: it would only take its time.
            hopeless = not await receivers.stored(warm)
            before = await server.state_async()
            honest = receivers.draw(THREADS if hopeless else self.webhooks, "load")
            again = honest[:5]
            forged = forge(stage.rng, receivers.secret, label="forged")
            mixed = [*honest[:20], *forged, *honest[20:]]
            tries = 0 if hopeless else 2
            sent = await provider.many(mixed, at_once=THREADS, again=tries)
            sent += await provider.many(again, at_once=len(again), again=tries)
        stored = await receivers.stored(honest)
        after = await server.state_async()
        receivers.over = not stored  # what stores nothing has nothing to lose at SIGTERM
        genuine = [one for one in sent if one.webhook.honest]
        last = {one.webhook.body + one.webhook.signature.encode(): one for one in sent}.values()
        lines = ("view", "close", "runs_at", "opened_at", "started_at", "waits_at")
        figures: dict[str, Any] = {name: place_of(after[name]) for name in lines}
        for name in ("recorded", "loops", "opened", "started"):
            figures[name] = after[name] - before[name]
        return self.Found(
            webhooks=len(honest),
            deliveries=len(genuine),
            put_off=sum(one.status == _LATER for one in genuine),
            refused=_refused(one for one in last if one.webhook.honest),
            let_in=[
                (one.webhook.kind, one.status)
                for one in last
                if not one.webhook.honest and one.status != _FORGED
            ],
            forged_stored=await outside(ledger.labelled, "forged"),
            missing=len(honest) - len(stored),
            miscounted=await outside(ledger.miscounted),
            errors=_troubles(after["errors"]),
            **figures,
        )

    def judge(self, found: "Load.Found", judged: Judged) -> Iterator[Reason | Kept]:
        stored, still = list(self._stored(found)), judged.found(Standstill)
        # What webhooks that fail open follows from that; too many at once are that scene's to report.
        reported = bool(stored) or (still is not None and still.too_many)
        early = still is not None and still.early > 0
        yield from _of(4, found.view, self._made(found, reported=reported, early=early))
        yield from _of(1, found.view, stored)
        yield from _of(2, found.view, self._forged(found))

    def _made(self, found: "Load.Found", *, reported: bool, early: bool) -> Iterator[Reason]:
        """Judge loops, connections and threads that were made for single webhooks; one reason at most."""
        many = found.deliveries
        # A query that runs out of time is cancelled over another connection, and may lose its own.
        opened = found.opened - 2 * found.put_off
        if found.loops / many > MADE.limit:
            number, what, conflict, place = found.loops, "loops", "loop-per-call", found.runs_at
            said = (
                f"made {count(number, 'event loop')}, each with connections of its own: what belongs to "
                "a loop ends with it."
            )
            step = "Run one loop on a thread of its own, and hand it work by asyncio.run_coroutine_threadsafe."
        elif opened / many > MADE.limit and not reported:
            number, what, place = found.opened, "connections", found.opened_at
            conflict, step = "too-many-connections", _ONE_POOL
            said = f"opened {count(number, 'connection')} to PostgreSQL."
        elif found.started / many > MADE.limit and not early:
            # Threads that nobody waits for are reported by what is lost with them.
            number, what, conflict, place = found.started, "threads", None, found.started_at
            said = f"started {count(number, 'thread')}."
            step = "Let the server's thread wait: asyncio.run_coroutine_threadsafe(work, loop).result()."
        else:
            return
        each = f"{number / many:.1f} {what} a webhook", f"{MADE.limit:g} {what} a webhook"
        yield _reason(f"{many} webhooks {said}", step, place, each, conflict=conflict)

    def _stored(self, found: "Load.Found") -> Iterator[Reason]:
        """Judge webhooks that a database at leisure did not get; one reason at most."""
        refused, error = found.refused, _root(found.errors)
        often = sum(refused.values()) > _FEW * found.webhooks
        if often or refused.keys() - {str(_LATER)}:
            yield _failed(
                f"Of {found.webhooks} webhooks, with the database at leisure, some were answered "
                f"{_refusals(refused)}.",
                error,
                found.waits_at,
            )
        elif found.missing and not refused:
            yield _reason(
                f"Of {found.webhooks} webhooks answered 204, {found.missing} were not in `updates` "
                "a second later.",
                "Answer 204 once `await record(database, update)` has come back.",
                error.place,
                _none(found.missing, "update"),
            )
        elif found.miscounted:
            yield _reason(
                "The sums in `messages` are not those of `updates`.",
                "Leave it to `record`: it counts an update once, also when it comes twice.",
                measured=_none(found.miscounted, "message"),
            )
        elif found.recorded < found.webhooks / 2:
            yield _reason(
                f"{found.webhooks} updates were stored, and `record` stored {found.recorded} of them.",
                "Store by `await record(database, update)`: others of ours rely on it.",
                measured=(count(found.recorded, "call"), count(found.webhooks, "call")),
            )

    def _forged(self, found: "Load.Found") -> Iterator[Reason]:
        if found.forged_stored or found.let_in:
            kind, status = found.let_in[0] if found.let_in else ("forged", _FORGED)
            stored = ", and stored" if found.forged_stored else ""
            yield _reason(
                f"A webhook that the provider did not sign ({kind}) was answered {status}{stored}.",
                "Ask `genuine` of the bytes that came, before anything else, and answer 401.",
                measured=_none(max(len(found.let_in), found.forged_stored), "forged webhook"),
            )


class Standstill(_Driving["Standstill.Found"]):
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
        recording: int
        """Calls of `record` that were under way."""
        tasks_at: list[Place]
        """Lines that tasks waited at meanwhile."""
        waits_at: Place | None
        left: int
        """Tasks and threads that went on with webhooks that were answered."""
        left_at: Place | None
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

    async def serve(self, receivers: Receivers, stage: "Stage") -> "Standstill.Found":
        server, ledger = receivers.serving, receivers.ledger
        first, second = receivers.draw(THREADS, "still"), receivers.draw(THREADS, "still-more")
        before = await server.state_async()
        middle: dict[str, Any] = {}
        waiting = sessions = left = 0

        def left_of(state: Mapping[str, Any]) -> int:
            return sum(max(0, state[kind] - before[kind]) for kind in ("tasks", "threads"))

        async with Provider(server.url, timeout=_ANSWER) as provider:
            async with stage.at_work(ledger.hold()):
                sent = [asyncio.create_task(provider.one(one)) for one in first]
                began = stage.clock()
                while (seconds := stage.clock() - began) < LATE.limit * TIMEOUT:
                    if all(one.done() for one in sent):
                        break
                    seen = await stage.outside(ledger.count, "serving")
                    waiting, sessions = max(waiting, seen.waiting), max(sessions, seen.open)
                    if seconds > TIMEOUT / 2 and not middle:
                        middle = await server.state_async()
                    await stage.sleep(_LOOK)
                receivers.ending.launch()  # nothing more is counted that it could add to
                done = (one.result() for one in sent if one.done())
                answers = [one for one in done if one.seconds <= LATE.limit * TIMEOUT]
                early = sum(one.status == _STORED for one in answers)
                unanswered = len(first) - len(answers)
                if unanswered:
                    after = await server.state_async()
                elif not early:
                    seconds = max(one.seconds for one in answers)
                    answers += await provider.many(second, at_once=THREADS)
                    most = PILED_UP.limit * len(answers)
                    after = await stage.until(
                        server.state_async, lambda now: left_of(now) <= most, _END
                    )
                    left = left_of(after)
                else:
                    after = {"waits_at": None, "tasks_at": []}
            await stage.wait(sent, timeout=2.0)
            for one in sent:
                one.cancel()
            stage.step("the same webhooks again, once the database is back")
            back = [*first, *second]
            again = await provider.many(back, at_once=THREADS, again=3)
        missing = len(back) - len(await receivers.stored(back))
        stage.vital(connections_at_standstill=sessions, seconds_to_503=round(seconds, 3))
        return self.Found(
            answered=dict(Counter(str(one.status) for one in answers)),
            early=early,
            unanswered=unanswered,
            seconds=seconds,
            sessions=sessions,
            waiting=waiting,
            recording=middle.get("recording", 0),
            tasks_at=[place for one in middle.get("tasks_at", ()) if (place := place_of(one))],
            waits_at=place_of(after["waits_at"]),
            left=left,
            left_at=place_of(after["waits_at"] or next(iter(after["tasks_at"]), None)),
            refused=_refused({one.webhook.id: one for one in again}.values()),
            missing=missing,
            miscounted=await stage.outside(ledger.miscounted),
            errors=_troubles((await server.state_async())["errors"]),
        )

    def judge(self, found: "Standstill.Found", judged: Judged) -> Iterator[Reason | Kept]:
        load, end = judged.expect(Load), judged.found(Sigterm)
        if judged.keeps(Load, 1):
            if not found.early:
                yield from _of(4, load.view, self._connections(found, load.opened_at))
            yield from _of(3, load.view, self._answers(found), silent=found.early > 0)
        lost = end is not None and end.lost > 0  # which reports the same
        yield from _of(1, load.view, () if lost else self._early(found), silent=lost)

    def _early(self, found: "Standstill.Found") -> Iterator[Reason]:
        if found.early:
            yield _reason(
                f"With the database at a standstill, {found.early} webhooks were answered 204: nothing "
                "was stored, and only this process knew of them.",
                "Answer once the update is stored.",
                measured=_none(found.early, "answer"),
                conflict="dropped-task",
            )

    def _connections(self, found: "Standstill.Found", opened_at: Place | None) -> Iterator[Reason]:
        """Judge how many connections there were, and how many of them were at work; one reason at most."""
        if found.too_many:
            yield _reason(
                f"PostgreSQL saw {count(found.sessions, 'connection')} at once, where `size` is {SIZE}.",
                _ONE_POOL,
                opened_at,
                (f"{found.sessions / SIZE:.1f} x size", str(CONNECTIONS)),
                conflict="too-many-connections",
            )
        elif found.waiting <= SIZE / 2:
            how = "the bridge takes them one after another."
            step = "Start each webhook's work at once; the pool keeps them to `size`."
            place = found.waits_at or _most(found.tasks_at)
            if found.recording > found.waiting:
                how = f"{found.recording} calls of `record` shared what the pool had."
                step, place = "Give the pool max_size=size.", opened_at or place
            yield _reason(
                f"With {THREADS} webhooks to be stored, {found.waiting} of {SIZE} connections had one: {how}",
                step,
                place,
                (f"{found.waiting} at once", f"{SIZE} at once"),
                conflict="sequential-awaits",
                timed=True,
            )

    def _answers(self, found: "Standstill.Found") -> Iterator[Reason]:
        """Judge the answers, what they leave behind, and what becomes of webhooks that come again."""
        late, error = found.unanswered, _root(found.errors)
        if late:
            who, why = f"{late} of {THREADS} webhooks", "each keeps a thread of the server"
            if late == THREADS:
                who = f"{late} webhooks"
                why = "as many as there are threads, so the server answers nobody"
            yield _reason(
                f"With the database at a standstill, {who} had no answer after {span(found.seconds)}: {why}.",
                "Put asyncio.timeout(timeout) around the work, and answer TimeoutError by 503.",
                found.waits_at,
                (f"over {found.seconds / TIMEOUT:.0f} x timeout", str(LATE)),
                conflict="missing-deadline",
                timed=True,
            )
            return
        others = {k: n for k, n in found.answered.items() if k not in {str(_LATER), str(_STORED)}}
        if others:
            yield _reason(
                f"With the database at a standstill, webhooks were answered {_refusals(others)} instead of "
                f"503.{error}",
                "Answer 503 when the deadline passes: the provider comes again.",
                error.place,
            )
        if not found.early:  # answers that came too early are reported by what SIGTERM does to them
            yield from self._left_behind(found)
            yield from self._back(found, error)

    def _left_behind(self, found: "Standstill.Found") -> Iterator[Reason]:
        webhooks = sum(found.answered.values())
        if found.left <= PILED_UP.limit * webhooks:
            return
        step = (
            "End the work at the deadline, not only the wait: asyncio.timeout inside of it, or "
            "future.cancel()."
        )
        shield = next((one for one in found.tasks_at if "shield(" in one.code), None)
        if shield:
            step = "Await the work itself: asyncio.shield keeps the deadline from ending it."
        yield _reason(
            f"{webhooks} webhooks were answered 503, and {found.left} tasks and threads went on with "
            "them: with every redelivery there are more.",
            step,
            shield or found.left_at,
            (f"{found.left / webhooks:.1f} left behind for each 503", str(PILED_UP)),
            conflict="unbounded-gather",
        )

    def _back(self, found: "Standstill.Found", error: Trouble) -> Iterator[Reason]:
        refused = found.refused
        if sum(refused.values()) > _FEW * sum(found.answered.values()) or found.missing:
            how = f"answered {_refusals(refused)}" if refused else "not all stored"
            yield _failed(f"The database was back, and the same webhooks were {how}.", error, None)
        elif found.miscounted:
            yield _reason(
                "A webhook that was answered 503 and came again was counted twice.",
                "Leave it to `record`: it counts an update once.",
                measured=_none(found.miscounted, "message"),
            )


class Sigterm(_Driving["Sigterm.Found"]):
    """SIGTERM, in the middle of webhooks that wait for their rows."""

    title, promises = "SIGTERM in the middle of the load", (1, 5)
    under_way = THREADS - 1
    """Webhooks at SIGTERM: one thread stays free for one that comes later."""

    @dataclass(frozen=True, slots=True)
    class Found:
        """How `close` ended, what was answered and what of it is stored."""

        promised: int
        """Webhooks under way that were answered 204."""
        lost: int
        """Of these, not stored."""
        refused: dict[str, int]
        """Other answers by status, -1 for none."""
        latecomer: int | None
        """Status of a webhook that came after SIGTERM; None without an answer."""
        late: bool
        closing: str | None
        """The error that `close` raised."""
        connections: int
        waits_at: Place | None
        errors: list[Trouble]
        unseen: list[Trouble]
        """What the exception handler of a loop reported."""

    async def serve(self, receivers: Receivers, stage: "Stage") -> "Sigterm.Found | None":
        server, outside, ledger = receivers.ending, stage.outside, receivers.ledger
        await receivers.serving.close_async()
        await receivers.start(server)
        if receivers.over:
            return None
        due, late = receivers.draw(self.under_way, "last"), receivers.draw(1, "too-late")[0]
        async with Provider(server.url, timeout=2 * GRACE) as provider:
            warm = receivers.draw(THREADS, "warm-too")
            await provider.many(warm, at_once=THREADS, again=3)
            idle = (await server.state_async())["inside"]
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(stage.at_work(ledger.hold()))
                sent = [asyncio.create_task(provider.one(one)) for one in due]

                async def wait() -> bool:
                    """Whether as many as can wait for a row do so, and the others in the lab."""
                    if all(one.done() for one in sent):
                        return True
                    if (await outside(ledger.count, "ending")).waiting < SIZE:
                        return False
                    return bool((await server.state_async())["inside"] >= idle + len(sent))

                await stage.until(wait, bool, _ARRIVE)
                server.terminate()
                await stage.sleep(_GATHER / 4)
                latecomer = asyncio.create_task(provider.one(late))
                # Held until close() has been waiting for a while, or did not wait at all.
                phase = await stage.until(server.phase_async, "closed".__eq__, 0.75 * _GATHER)
                state = await server.state_async()
                if phase == "closed":
                    # It is dead before the rows are free. A statement that waits for a row would be
                    # carried out all the same, since PostgreSQL does not look whether anybody still
                    # listens: that would be luck, not care.
                    await server.close_async()
                    await outside(partial(ledger.end, within=1.0), "ending")
            if phase != "closed":
                await stage.until(server.phase_async, "closed".__eq__, 2 * GRACE)
                # Connections that are just closing get a moment.
                state = await stage.until(
                    server.state_async, lambda now: not now["connections"], _SOON
                )
            await stage.wait([*sent, latecomer], timeout=0.5)
            for one in (*sent, latecomer):
                one.cancel()
            await stage.sleep(0)
        await server.close_async()
        answers = [one.result() for one in sent if not one.cancelled()]
        promised = {one.webhook.id for one in answers if one.status == _STORED}
        unanswered = {"-1": len(due) - len(answers)} if len(answers) < len(due) else {}
        return self.Found(
            promised=len(promised),
            lost=len(promised - await outside(ledger.stored, promised)),
            refused=_refused(answers) | unanswered,
            latecomer=None if latecomer.cancelled() else latecomer.result().status,
            waits_at=place_of(state["waits_at"]),
            errors=_troubles(state["errors"]),
            unseen=_troubles(state["unseen"]),
            **{name: state[name] for name in ("late", "closing", "connections")},
        )

    def judge(self, found: "Sigterm.Found", judged: Judged) -> Iterator[Reason | Kept]:
        load, still = judged.expect(Load), judged.found(Standstill)
        yield from _of(1, load.view, self._lost(found))
        forgets = found.lost > 0 or (still is not None and still.early > 0)
        if judged.keeps(Load, 1):  # else it is reported already why webhooks fail
            yield from _of(5, load.close, self._closing(found, forgets=forgets), silent=forgets)
        if not judged.reasons:
            yield from _of(1, load.view, self._unseen(found, "Task", "Future"), silent=True)
            yield from _of(5, load.close, self._unseen(found, "Unclosed"), silent=True)

    def _lost(self, found: "Sigterm.Found") -> Iterator[Reason]:
        if found.lost:
            yield _reason(
                f"At SIGTERM, {found.lost} of {found.promised} updates were lost: answered 204, and in no "
                "table. The provider will not come again.",
                "Answer once the update is stored; whoever waits for it keeps it.",
                found.waits_at,
                _none(found.lost, "update"),
                conflict="dropped-task",
            )

    def _closing(self, found: "Sigterm.Found", *, forgets: bool) -> Iterator[Reason]:
        """Judge the end of `close` and the answers to webhooks that were under way."""
        error, place = _root(found.errors), found.waits_at
        if found.late:
            yield _reason(
                f"`close()` was not over {span(GRACE)} after SIGTERM.",
                "Wait for the webhooks under way, each of which has its deadline; then close.",
                place,
                (f"over {span(GRACE)}", span(GRACE)),
                conflict="missing-deadline",
                timed=True,
            )
            return
        if found.closing:
            yield _reason(
                f"`close()` raised {found.closing}.",
                "Close the pool on the loop it belongs to, then stop the loop.",
                place,
            )
        if found.refused:
            yield _reason(
                f"At SIGTERM, {self.under_way} webhooks were under way; they were answered "
                f"{_refusals(found.refused)}.{error}",
                "In close(), wait for those under way before you take down the pool and the loop.",
                error.place,
                _none(sum(found.refused.values()), "webhook"),
                conflict="dropped-task",
            )
        elif found.connections and not forgets:
            yield _reason(
                f"When close() had returned, {count(found.connections, 'connection')} stayed open.",
                "Close the pool in close(), on its loop, and wait for that.",
                place,
                _none(found.connections, "connection"),
                conflict="unclosed-resource",
            )
        if found.latecomer == 500:  # noqa: PLR2004
            yield _reason(
                f"A webhook that came after SIGTERM was answered 500.{error}",
                "Answer 503 once close() was called: the provider comes again.",
                error.place,
            )

    def _unseen(self, found: "Sigterm.Found", *kinds: str) -> Iterator[Reason]:
        """Judge what asyncio's exception handler reported of these kinds; one reason at most."""
        reports = [one for one in found.unseen if one.message.startswith(kinds)]
        for first in reports[:1]:
            what, conflict = "unseen error", "dropped-task"
            step = "Await every task that you start, and handle what it raises."
            if first.message.startswith("Unclosed"):
                what, conflict = "unclosed object", "unclosed-resource"
                step = "Close in close() what you opened, on its loop, and wait for that."
            said = f"asyncio reported {count(len(reports), what)}: {first.message}."
            yield _reason(said, step, first.place, _none(len(reports), what), conflict=conflict)


class Death(Scene[Trouble]):
    """Why a server did not start, or could not go on."""

    title, promises, Found = "whether the servers still answer", (), Trouble

    async def drive(self, lab: ModuleType, stage: "Stage") -> Trouble | None:
        receivers = await stage.shared(Receivers, lab, stage)
        return Trouble(*receivers.died) if receivers.died else None

    def judge(self, found: Trouble, judged: Judged) -> Iterator[Reason]:
        load = judged.found(Load)
        step = "Nothing in a lab may end the process, or keep it from answering: raise, or return."
        if found.message.startswith("Receiver("):
            step = "Open what webhooks need in __init__, and set `app` to a Flask application."
        nested = "running event loop" in found.message
        yield Reason(
            found.message,
            conflict="nested-loop" if nested else None,
            **at(found.place or (load.view if load else None)),
            next_step=step,
        )


# Reasons and words.


def _of(
    promise: int, place: Place | None, said: Iterable[Reason], *, silent: bool = False
) -> Iterator[Reason | Kept]:
    """Yield these reasons with a promise's number, and a place where they have none.

    Without any, say that the promise is kept, unless `silent`.
    """
    said = list(said)
    for one in said:
        yield replace(one, promise=promise, **({} if one.file else at(place)))
    if not said and not silent:
        yield Kept(promise)


def _reason(
    sentence: str,
    step: str,
    place: Place | None = None,
    measured: tuple[str, str] | tuple[None, None] = (None, None),
    **about: Any,
) -> Reason:
    """Return a reason; `measured` says what was found, and what may be."""
    found, budget = measured
    return Reason(sentence, measured=found, budget=budget, next_step=step, **at(place), **about)


def _none(number: int, what: str) -> tuple[str, str]:
    """Return a number of things, and that there may be none."""
    return count(number, what), f"0 {what}s"


def _failed(sentence: str, error: Trouble, waits_at: Place | None) -> Reason:
    """Return the reason for webhooks that were not stored: `sentence`, and what was raised."""
    if not error.message:
        stuck = waits_at is not None and ".result(" in waits_at.code
        conflict = "blocking-sync-primitive" if stuck else None
        step = "See where they wait: a loop must not wait for its own work."
        return _reason(sentence, step, waits_at, conflict=conflict, timed=True)
    conflict = None
    step = "See what it raises: with the database at leisure, every webhook can be stored."
    if _FOREIGN.search(error.message):
        conflict = "loop-bound-primitive"
        step = "Make the pool on the loop that uses it, and use it from no other."
    elif "running event loop" in error.message:
        conflict = "nested-loop"
        step = "Hand the work to a loop on another thread: a running loop can't run a second one."
    elif "another operation is in progress" in error.message:
        step = "A connection serves one webhook at a time: take one from a pool for each."
    return _reason(f"{sentence}{error}", step, error.place, conflict=conflict)


def _root(errors: Sequence[Trouble]) -> Trouble:
    """Return the error that explains the others, an empty one if there was none."""
    foreign = (one for one in errors if _FOREIGN.search(one.message))
    return next(foreign, errors[0] if errors else Trouble(""))


def _troubles(errors: Iterable[Mapping[str, Any]]) -> list[Trouble]:
    return [Trouble(one["message"], place_of(one["place"])) for one in errors]


def _most(places: Sequence[Place]) -> Place | None:
    return Counter(places).most_common(1)[0][0] if places else None


def _refused(deliveries: Iterable[Delivery]) -> dict[str, int]:
    """Count the answers that are not 204, by status."""
    return dict(Counter(str(one.status) for one in deliveries if one.status != _STORED))


def _refusals(answers: Mapping[str, int]) -> str:
    """Return what was answered instead of 204: `3 times 500, 1 time not at all`."""
    words = {"0": "by a lost connection", "-1": "not at all"}
    return ", ".join(
        f"{count(number, 'time')} {words.get(status, status)}"
        for status, number in sorted(answers.items())
    )


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    load, still, end = judged.expect(Load), judged.expect(Standstill), judged.expect(Sigterm)
    return (
        f"{load.webhooks} webhooks made {count(load.loops, 'event loop')}. With the database at a "
        f"standstill, {still.sessions} connections waited, and 503 came after {span(still.seconds)}. Of "
        f"{end.promised} webhooks under way at SIGTERM none was lost."
    )


CHECK = Check(
    scenes=(Load(), Standstill(), Sigterm(), Death()),
    praise=praise,
    leaves_nothing=5,
    # A loop of the module's own, started when it is imported, is no leftover: it lives as long.
    leftovers_judged=("tasks", "threads"),
)
