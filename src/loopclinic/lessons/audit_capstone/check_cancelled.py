"""Scene of lab 14's check that cancels: audits by their status, and a run by its task."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from loopclinic.lessons.audit_capstone.audit_scene import COUNT, AuditScene
from loopclinic.lessons.audit_capstone.check_functions import ONE_UNIT, Line, faulty
from loopclinic.lessons.audit_capstone.queue_tables import Due, Stored
from loopclinic.lessons.core import Budget, Calls, Ending, Judged, Kept, Left, Place, Said
from loopclinic.lessons.core.verdicts import broke, left_at_work, none_of
from loopclinic.lessons.database.postgres_verdicts import (
    Cancel,
    Served,
    after_cancels,
    forgotten_when_cancelled,
)
from loopclinic.units import count

CANCEL = Budget(0.5, "s", "Milliseconds; one that waits for its statement takes as long as that.")

_sleep = asyncio.sleep  # kept from before a lab is imported, which may replace it

_AGAIN = "update audits set status = 'queued' where status = 'running'"
_SET_CANCELLED = "update audits set status = 'cancelled' where id = any(%s)"
_READ = ("questions", "companies")
"""What an audit reads before it asks. The former may be kept in memory, or read when it opens."""
_HOLD_FINAL = "lock table final_responses in exclusive mode"
"""Whoever stores there waits."""
_HOLD_COMPANIES = "select 1 from companies for no key update"
"""Whoever writes a company's row waits."""
_NO_LOCK = "Read the status without a lock, and store by `update ... where id = %s and status = 'running'`."


@dataclass(frozen=True, slots=True)
class Stopped:
    """An audit that was cancelled by its status, how the run ended that had it, and what was stored of it."""

    when: str
    ending: Ending
    status: str
    rows: int
    counted: int
    """1 if its company's counters are wrong."""


class Cancelled(AuditScene):
    """Audits that are cancelled by their status, then a run that is cancelled; then the next run."""

    title, promises, cancels = "audits that are cancelled, and a run that is", (2, 12, 13), True

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of them."""

        served: Served
        asked: int | None = None
        """Queries of an audit that was cancelled before; None if none could be."""
        locked_before: Place | None = None
        """Where the lab stood when an audit could not be set to cancelled before it asked: its row was locked."""
        locked: Place | None = None
        """The same while it asked."""
        by_status: tuple[Stopped, ...] = ()
        failed: int = 0
        """Audits that were set to failed because `run` was cancelled."""
        asking: Cancel | None = None
        left: Left | None = None
        storing: Cancel | None = None
        after: tuple[Ending, ...] = ()
        place: Place | None = None
        again: Stored | None = None
        """What is stored of the audits whose runs were cancelled, and that another run took."""

    async def meet(self, found: Any) -> None:
        found.place, found.by_status = self.run_at, []
        found.locked_before = found.locked = None
        await self._before_it_asks(found)
        if not self.database.stuck:
            await self._while_it_asks(found)
            await self._while_it_stores(found)
            await self._run(found)

    async def _before_it_asks(self, found: Any) -> None:
        for table in _READ:
            (due,), before = await self.queue(self.some(1)), self.asked
            async with self.database.holding(f"lock table {table} in access exclusive mode"):
                call = self.run()
                await self.database.until_waiting(self.name, 1, 0.5)
                early = self.asked > before  # it needs nothing of this table
                if not early and not await self.change(_SET_CANCELLED, [due.id]):
                    found.locked_before = self.stands(call)
            ending = await call.settled(2.0)
            if not early:
                found.asked = self.asked - before
                if not found.locked_before:
                    found.by_status.append(await self._stopped("before it asked", ending, due))
                return

    async def _stopped(self, when: str, ending: Ending, due: Due) -> Stopped:
        stored = await self.stored([due])
        rows = stored.rows + stored.left
        return Stopped(when, ending, stored.status[due.id], rows, stored.miscounted)

    async def _while_it_asks(self, found: Any) -> None:
        due = answered, unanswered = await self.queue(self.some(2))
        self.gates(opened=False)
        for one in self.providers:
            one.fails = unanswered.company.name
        call, before = self.run(), self.asked
        await self.until_asked(before + 2 * len(self.providers), 1.5, call)
        await _sleep(0.05)
        if not await self.change(_SET_CANCELLED, [one.id for one in due]):
            found.locked = self.stands(call)
        self.gates(opened=True)
        ending = await call.settled(2.0)
        for one in self.providers:
            one.fails = ""
        if not found.locked:
            for when, each in (
                ("while it asked", answered),
                ("while it asked in vain", unanswered),
            ):
                found.by_status.append(await self._stopped(when, ending, each))

    async def _while_it_stores(self, found: Any) -> None:
        (due,) = await self.queue(self.some(1))
        async with self.database.holding(_HOLD_FINAL):
            call = self.run()
            await self.database.until_waiting(self.name, 1, 1.5)
            await self.change(f"{_SET_CANCELLED} and status = 'running'", [due.id])
            set_to = (await self.stored([due])).status[due.id]
        ending = await call.settled(2.0)
        if set_to == "cancelled":  # else its row is locked already: whoever cancels comes too late
            found.by_status.append(await self._stopped("while it stored", ending, due))

    async def _run(self, found: Any) -> None:
        if not await self.change(COUNT):
            return
        due = await self.queue(self.some(2))
        self.gates(opened=False)
        call, before = self.run(), self.asked
        async with self.stage.count_leftovers(call) as census:
            await self.until_asked(before + 2, 1.5, call)
            found.asking = await self.cancel(Calls({0: call}), CANCEL.limit)
        found.left = census.left
        self.gates(opened=True)
        found.failed = await self._failed(due)
        if found.asking.open or found.failed or not await self.change(_AGAIN):
            return
        async with self.database.holding(_HOLD_COMPANIES):
            call = self.run()
            await self.database.until_waiting(self.name, 1, 1.5)
            found.storing = await self.cancel(Calls({0: call}), CANCEL.limit)
        await _sleep(0.2)  # what went on comes to its end
        done = (await self.stored(due)).status.values()
        found.storing = replace(found.storing, stored=sum(one == "completed" for one in done))
        found.failed = await self._failed(due)
        if not await self.change(_AGAIN):
            return
        found.after = (await self.run().settled(2.0),)
        found.again = await self.stored(due)

    async def _failed(self, due: list[Due]) -> int:
        return [*(await self.stored(due)).status.values()].count("failed")

    def reasons(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Said]:
        place, line = found.place, judged.expect(Line)
        if found.asked and faulty(judged, 4):
            pass  # what it asked may have been ready before
        elif found.locked_before:
            yield self._locked(2, "before its models were asked", found.locked_before)
        elif found.asked:
            said = "An audit was cancelled before its models were asked, and they were asked all the same."
            step, more = "Look right before you ask.", none_of(found.asked, "query", "queries")
            yield broke(2, said, step, line.called.get("execute_queries", place), **more)
        elif found.asked is not None:
            yield Kept(2)
        before = len(judged.reasons)
        yield from self._by_status(found, judged)
        by_status = len(judged.reasons)
        who = "`run` was cancelled while an audit asked"
        if found.failed and not faulty(judged, *range(1, 10)):
            said = f"`run` was cancelled, and set {count(found.failed, 'audit')} to failed."
            step = "Let CancelledError through: catch Exception, not BaseException, and handle no failure where none was."
            at = line.defined.get("handle_failure", place)
            more = none_of(found.failed, "audit") | {"conflict": "swallowed-cancellation"}
            yield broke(13, said, step, at, **more)
        elif found.asking is not None and by_status == before:
            yield from forgotten_when_cancelled(found.asking, CANCEL, who, "audit", promise=13)
        if found.left and found.left.tasks and len(judged.reasons) == by_status:
            said = f"After `run` was cancelled, {count(found.left.tasks, 'task')} still ran."
            step = "Start audits in an asyncio.TaskGroup: it cancels them, and waits for their end."
            at = found.left.place or place
            yield left_at_work(said, found.left.tasks, at, promise=13, next_step=step)
        who = "`run` was cancelled while an audit stored"
        storing = found.storing
        if storing is not None and storing.place is None and storing.endings[0].returned:
            yield from self._again(found, judged)
            return  # it did not wait for what was held: nothing was cancelled
        if storing is not None and len(judged.reasons) == before:
            yield from forgotten_when_cancelled(storing, CANCEL, who, "audit", promise=13)
        if len(judged.reasons) == before and not judged.breaks(11):
            yield from after_cancels(found.after, "runs", promise=13)
        if len(judged.reasons) == before and found.after:
            yield Kept(13)
            yield Kept(12)
        yield from self._again(found, judged)

    @staticmethod
    def _again(found: "Cancelled.Found", judged: Judged) -> Iterator[Said]:
        stored, who = found.again, "A run was cancelled, and its audits were queued again"
        if stored is None or faulty(judged, *range(1, 10)):
            return
        open_ = next((one for one in stored.status.values() if one in {"queued", "running"}), "")
        if stored.surplus:
            said = f"{who}: {count(stored.surplus, 'response')} of theirs were stored twice."
            more = none_of(stored.surplus, "response")
            yield broke(12, said, ONE_UNIT, found.place, **more)
        elif all(one.returned for one in found.after) and open_:
            step = "Take whatever is queued, also what this worker had before."
            yield broke(12, f"{who}: one is '{open_}' in the end.", step, found.place)

    def _by_status(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Said]:
        place, line = found.place, judged.expect(Line)
        raised = next((one for one in found.by_status if one.ending.raised), None)
        ended = next((one for one in found.by_status if one.status != "cancelled"), None)
        left = next((one for one in found.by_status if one.rows or one.counted), None)
        if found.locked:
            yield self._locked(13, "while it asked", found.locked)
        elif raised and not judged.breaks(11):
            said = f"An audit was cancelled {raised.when}, and `run` {raised.ending}."
            step = "End a cancelled audit where it is processed, and close nothing that the next `run` needs."
            yield broke(11, said, step, raised.ending.place or place)
        elif ended:
            said = f"An audit that was cancelled {ended.when} ended as '{ended.status}'."
            step = "Move the status by `update ... where id = %s and status = 'running'`."
            mover = "handle_failure" if ended.status == "failed" else "finalize_audit"
            yield broke(13, said, step, line.defined.get(mover, place))
        elif left:
            said = f"An audit that was cancelled {left.when} left {count(left.rows, 'row')}"
            said += ", and its company's counters are wrong." * bool(left.counted)
            step = "Store all of it in one transaction, which ends without a commit if the status is not 'running'."
            yield broke(13, said, step, place, **none_of(left.rows, "row"))

    @staticmethod
    def _locked(promise: int, when: str, place: Place) -> Said:
        said = f"An audit could not be set to cancelled {when}: a transaction that stood at {place.quoted} "
        said += "had locked its row, and whoever cancels waits."
        return broke(promise, said, _NO_LOCK, place, conflict="transaction-left-open")
