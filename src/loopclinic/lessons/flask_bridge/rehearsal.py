"""Drives a lab's `Receiver` behind waitress: a load, a database that stands still, SIGTERM in the middle."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from types import ModuleType
from typing import Any

from loopclinic.lessons.flask_bridge import LESSON
from loopclinic.lessons.flask_bridge.ledger import Ledger
from loopclinic.lessons.flask_bridge.provider import Delivery, Provider
from loopclinic.lessons.flask_bridge.surroundings import GRACE, SIZE, THREADS, Surroundings
from loopclinic.lessons.flask_bridge.updates import forge, lay_out
from loopclinic.lessons.lesson import Stage
from loopclinic.lessons.whereabouts import Place
from loopclinic.servers.process import ServerError
from loopclinic.servers.wsgi import WsgiServer

__all__ = ["rehearse"]

_sleep, _wait, _perf_counter = asyncio.sleep, asyncio.wait, time.perf_counter

_LOAD = 40
_TIMEOUT = 0.6
"""Seconds; of the receiver that meets a database that stands still."""
_PATIENT = 5.0
"""Seconds; of the receiver that gets SIGTERM: there, nothing shall run out of time."""
_LATE = LESSON.budgets["late"].limit
_ANSWER = 2.5
"""Seconds after which the provider takes a webhook for unanswered."""
_GATHER = 0.4
_ARRIVE = 1.0
"""Seconds that webhooks get to come to where they wait."""
_SOON = 0.3
_END = 0.6
"""Seconds that cancelled work gets to come to its end."""
_PILED_UP = LESSON.budgets["piled_up"].limit
_UNDER_WAY = THREADS - 1
"""Webhooks at SIGTERM: one thread stays free for one that comes later."""


async def rehearse(lab: ModuleType, stage: Stage) -> None:
    """Run the whole rehearsal; about four seconds for a lab that keeps its contract."""
    own = ThreadPoolExecutor(2, thread_name_prefix="rehearsal")
    loop = asyncio.get_running_loop()
    dsn = stage.services["postgres"]
    try:
        await loop.run_in_executor(own, lay_out, dsn)
        ledger = await loop.run_in_executor(own, Ledger, dsn)
        with ledger:
            await _Rehearsal(lab, stage, ledger, own).run()
    finally:
        own.shutdown(wait=False, cancel_futures=True)


class _Rehearsal(Surroundings):
    async def run(self) -> None:
        self.stage.step("starting the server")
        async with AsyncExitStack() as stack:
            serving = self.server("serving", _TIMEOUT)
            ending = self.server("ending", _PATIENT)
            for one in (serving, ending):
                stack.push_async_callback(one.close_async)
                one.launch()
            opening = await self.start(serving, ending)
            self.stage.fact("opening", opening)
            if opening is not None:
                return
            try:
                await self._drive(serving, ending)
            except ServerError as error:
                await self.outside(self.ledger.look)  # else it is PostgreSQL that is gone
                self.stage.fact("died", str(error)[:300])

    async def _drive(self, serving: WsgiServer, ending: WsgiServer) -> None:
        async with Provider(serving.url, timeout=_ANSWER) as provider:
            if not await self.load(serving, provider):
                return  # what stores nothing has nothing to lose at SIGTERM
            await self.standstill(serving, provider)
        await serving.close_async()
        async with Provider(ending.url, timeout=2 * GRACE) as provider:
            await self.end(ending, provider)

    async def load(self, server: WsgiServer, provider: Provider) -> bool:
        """A plain load: what is stored, what is refused, and how many loops it takes.

        Returns whether anything was stored.
        """
        self.stage.step(f"{_LOAD} webhooks, {THREADS} at a time")
        warm = self.draw(THREADS, "warm")
        await provider.many(warm, at_once=THREADS, again=2)
        # What stored none of these will not store more of others: it would only take its time.
        hopeless = not await self.settled(warm)
        before = await server.state_async()
        honest = self.draw(THREADS if hopeless else _LOAD, "load")
        again = honest[:5]
        forged = forge(self.stage.rng, self.secret, label="forged")
        mixed = [*honest[:20], *forged, *honest[20:]]
        tries = 0 if hopeless else 2
        deliveries = await provider.many(mixed, at_once=THREADS, again=tries)
        deliveries += await provider.many(again, at_once=len(again), again=tries)
        stored = await self.settled(honest)
        after = await server.state_async()
        last = {one.webhook.body + one.webhook.signature.encode(): one for one in deliveries}
        fine = [one for one in last.values() if one.webhook.honest]
        let_in = [one for one in last.values() if not one.webhook.honest and one.status != 401]  # noqa: PLR2004
        self.stage.fact(
            "load",
            {
                "webhooks": len(honest),
                "deliveries": sum(one.webhook.honest for one in deliveries),
                "refused": _refused(fine),
                "let_in": [{"kind": one.webhook.kind, "status": one.status} for one in let_in],
                "forged_stored": await self.outside(self.ledger.labelled, "forged"),
                "missing": len(honest) - len(stored),
                "miscounted": await self.outside(self.ledger.miscounted),
                "loops": after["loops"] - before["loops"],
                "recorded": after["recorded"] - before["recorded"],
                "runs_at": after["runs_at"],
                "waits_at": after["waits_at"],
                "errors": after["errors"],
                "threads": after["threads"],
            },
        )
        return bool(stored)

    async def standstill(self, server: WsgiServer, provider: Provider) -> None:
        """The rows are held: who is answered, with what, how soon, and what is left behind."""
        self.stage.step("a database that stands still")
        first, second = self.draw(THREADS, "still"), self.draw(THREADS, "still-more")
        before = await server.state_async()
        found: dict[str, Any] = {
            "timeout": _TIMEOUT,
            "size": SIZE,
            "wave": THREADS,
            "waves": 1,
            "left": 0,
        }
        late_after = _LATE * _TIMEOUT
        async with self.at_work(self.ledger.hold()):
            deliveries = [asyncio.create_task(provider.one(one)) for one in first]
            waiting, sessions, began = 0, 0, _perf_counter()
            while _perf_counter() - began < late_after and not all(x.done() for x in deliveries):
                seen = await self.outside(self.ledger.count, "serving")
                waiting, sessions = max(waiting, seen.waiting), max(sessions, seen.open)
                await _sleep(0.02)
            found |= {"waiting": waiting, "sessions": sessions, "unanswered": 0, "waits_at": None}
            answers = [one.result() for one in deliveries if one.done()]
            found["early"] = sum(one.status == 204 for one in answers)  # noqa: PLR2004
            if len(answers) < len(first):
                found["unanswered"] = len(first) - len(answers)
                found["seconds"] = _perf_counter() - began
                found["waits_at"] = (await server.state_async())["waits_at"]
            elif not found["early"]:
                found["seconds"] = max(one.seconds for one in answers)
                answers += await provider.many(second, at_once=THREADS)
                found["waves"] = 2
                found["left"], found["waits_at"] = await self._left(server, before, 2 * THREADS)
            found["answered"] = Counter(str(one.status) for one in answers)
        await _wait(deliveries, timeout=2.0)
        for one in deliveries:
            one.cancel()
        self.stage.step("the same webhooks again, once the database is back")
        back = [*first, *second]
        again = await provider.many(back, at_once=THREADS, again=3)
        found["refused"] = _refused(list({one.webhook.id: one for one in again}.values()))
        found["missing"] = len(back) - len(await self.settled(back))
        found["miscounted"] = await self.outside(self.ledger.miscounted)
        found["errors"] = (await server.state_async())["errors"]
        self.stage.fact("standstill", found)
        self.stage.fact(
            "vitals",
            {
                "connections_at_standstill": found["sessions"],
                "seconds_to_503": round(found.get("seconds", 0.0), 3),
            },
        )

    async def end(self, server: WsgiServer, provider: Provider) -> None:
        """SIGTERM, in the middle of webhooks that wait for their rows."""
        self.stage.step("SIGTERM in the middle of the load")
        await provider.many(self.draw(THREADS, "warm-too"), at_once=THREADS, again=3)
        due, late = self.draw(_UNDER_WAY, "last"), self.draw(1, "too-late")[0]
        idle = (await server.state_async())["inside"]
        found: dict[str, Any] = {"under_way": len(due), "grace": GRACE}
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.at_work(self.ledger.hold()))
            deliveries = [asyncio.create_task(provider.one(one)) for one in due]
            await self._until_they_wait(server, deliveries, idle)
            server.terminate()
            terminated = _perf_counter()
            await _sleep(0.1)
            latecomer = asyncio.create_task(provider.one(late))
            # Held until close() has been waiting for a while, or did not wait at all.
            while (phase := await server.phase_async()) != "closed":
                if _perf_counter() - terminated > _GATHER:
                    break
                await _sleep(0.02)
            state = await server.state_async()
            if phase == "closed":
                # It is dead before the rows are free. A statement that waits for a row would be
                # carried out all the same, since PostgreSQL does not look whether anybody still
                # listens: that would be luck, not care.
                await server.close_async()
                await self.outside(partial(self.ledger.end, within=1.0), "ending")
        if phase != "closed":
            state = await self._closed(server)
        found["seconds"] = _perf_counter() - terminated
        await _wait([*deliveries, latecomer], timeout=0.5)
        for one in (*deliveries, latecomer):
            one.cancel()
        await _sleep(0)
        found["late"] = state["late"]
        found["closing"] = state["closing"]
        found["waits_at"] = state["waits_at"]
        found["connections"] = state["connections"]
        found["errors"] = state["errors"]
        answers = [one.result() for one in deliveries if one.done() and not one.cancelled()]
        await server.close_async()
        stored = await self.outside(self.ledger.stored, {one.id for one in due})
        promised = [one.webhook.id for one in answers if one.status == 204]  # noqa: PLR2004
        found["promised"] = len(promised)
        found["lost"] = sum(id_ not in stored for id_ in promised)
        found["refused"] = _refused(answers)
        found["unanswered"] = len(due) - len(answers)
        comer = latecomer.result() if latecomer.done() and not latecomer.cancelled() else None
        found["latecomer"] = comer.status if comer else None
        self.stage.fact("end", found)

    async def _closed(self, server: WsgiServer) -> dict[str, Any]:
        """Wait until the server is closed, and return its state; last connections get a moment."""
        while await server.phase_async() != "closed":
            await _sleep(0.01)
        ends = _perf_counter() + _SOON
        while (state := await server.state_async())["connections"] and _perf_counter() < ends:
            await _sleep(0.02)
        return state

    async def _until_they_wait(
        self, server: WsgiServer, deliveries: Sequence["asyncio.Task[Delivery]"], idle: int
    ) -> None:
        """Wait until as many as can wait for a row do so, and the others in the lab, or all were answered.

        `idle` threads stand in the lab anyway.
        """
        ends = _perf_counter() + _ARRIVE
        while _perf_counter() < ends and not all(one.done() for one in deliveries):
            seen = await self.outside(self.ledger.count, "ending")
            stand = seen.waiting >= min(SIZE, len(deliveries))
            if stand and (await server.state_async())["inside"] >= idle + len(deliveries):
                break
            await _sleep(0.02)

    async def _left(
        self, server: WsgiServer, before: dict[str, Any], webhooks: int
    ) -> tuple[int, Place | None]:
        """Return what goes on with webhooks that were answered, once it is little, and where it is."""
        ends = _perf_counter() + _END
        while True:
            after = await server.state_async()
            left = sum(max(0, after[kind] - before[kind]) for kind in ("tasks", "threads"))
            if left <= _PILED_UP * webhooks or _perf_counter() > ends:
                return left, after["waits_at"]
            await _sleep(0.05)


def _refused(deliveries: Sequence[Delivery]) -> dict[str, int]:
    """Count the answers to genuine webhooks that are not 204, by status."""
    return Counter(str(one.status) for one in deliveries if one.status != 204)  # noqa: PLR2004
