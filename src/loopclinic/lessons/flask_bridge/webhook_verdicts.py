"""Verdicts of lab 03: reasons for what a load, a database at a standstill and a SIGTERM showed."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.core import Budget, Kept, Place
from loopclinic.lessons.core.verdicts import at, broke, none_of
from loopclinic.lessons.database.postgres_verdicts import too_many
from loopclinic.lessons.flask_bridge.check_servers import (
    FORGED,
    GRACE,
    LATER,
    SIZE,
    STORED,
    THREADS,
    TIMEOUT,
    UNUSUAL,
    refusals,
)
from loopclinic.lessons.flask_bridge.receiver_app import Trouble, most_common
from loopclinic.lessons.flask_bridge.webhooks import UNANSWERED
from loopclinic.units import count, span
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.flask_bridge.check import Load, Sigterm, Standstill

_FOREIGN = re.compile(r"attached to a different loop|different event loop|Event loop is closed")
"""How asyncio says that something belongs to another loop."""
_TROUBLED = {"500", "503", "0", "-1"}
"""Answers of a lab that could not store a webhook, lost connections and none at all among them."""
_FEW = 0.25
"""Share of webhooks that a busy machine may have answered 503, twice over."""
_ONE_POOL = "Make one pool in __init__, with max_size=size, for all webhooks."
_STORE_FIRST = "Answer 204 once `await record(database, update)` has come back."


def numbered(
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


broken = partial(broke, None)
"""Returns a reason whose promise `numbered` adds."""


def not_stored(sentence: str, error: Trouble, waits_at: Place | None) -> Reason:
    """Return the reason for webhooks that were not stored: `sentence`, and what was raised."""
    conflict = None
    if not error.message:
        if waits_at is not None and ".result(" in waits_at.code:
            conflict = "blocking-sync-primitive"
        step = "See where they wait: a loop must not wait for its own work."
        return broken(sentence, step, waits_at, conflict=conflict, timed=True)
    step = "See what it raises: with an idle database, every webhook can be stored."
    if _FOREIGN.search(error.message):
        conflict = "loop-bound-primitive"
        step = "Make the pool on the loop that uses it, and use it from no other."
    elif "running event loop" in error.message:
        conflict = "nested-loop"
        step = "Hand the work to a loop on another thread: a running loop can't run a second one."
    elif "another operation is in progress" in error.message:
        step = "A connection serves one webhook at a time: take one from a pool for each."
    return broken(f"{sentence}{error}", step, error.place, conflict=conflict)


def root(errors: Sequence[Trouble]) -> Trouble:
    """Return the error that explains the others, an empty one if there was none."""
    foreign = (one for one in errors if _FOREIGN.search(one.message))
    return next(foreign, errors[0] if errors else Trouble(""))


# A load.


def never_awaited(error: Trouble) -> Reason:
    """Return the reason for a coroutine that the lab made and dropped."""
    step = "Await it: calling an async function only makes a coroutine."
    return broken(error.message, step, error.place, conflict="unawaited-coroutine")


def stored(found: "Load.Found") -> Iterator[Reason]:
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
        said = f"{found.webhooks} updates were stored, and `record` stored {made.recorded} of them."
        step = "Store by `await record(database, update)`: other code relies on it."
        measured, budget = (count(one, "call") for one in (made.recorded, found.webhooks))
        yield broken(said, step, measured=measured, budget=budget)


def made(found: "Load.Found", budget: Budget, *, reported: bool, early: bool) -> Iterator[Reason]:
    """Judge loops, connections and threads that were made for single webhooks; one reason at most."""
    many, made, conflict = found.deliveries, found.made, None
    # A query that runs out of time is cancelled over another connection, and may lose its own.
    opened, most = made.opened - 2 * found.put_off, budget.limit * many
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
        step = (
            "Let the server's thread wait: asyncio.run_coroutine_threadsafe(work, loop).result()."
        )
    else:
        return
    figures = {"measured": f"{number / many:.1f} {what} a webhook"}
    figures["budget"] = f"{budget.limit:g} {what} a webhook"
    yield broken(f"{many} webhooks {said}", step, place, conflict=conflict, **figures)


def forged_let_in(found: "Load.Found") -> Iterator[Reason]:
    """Judge webhooks that the provider did not sign; one reason at most."""
    if found.forged_stored or found.let_in:
        kind, status = found.let_in[0] if found.let_in else ("forged", FORGED)
        # What it lets in raises nothing; any other status comes of an error.
        error = Trouble("") if status in {STORED, FORGED} else root(found.made.errors)
        said = f"A webhook that the provider did not sign ({kind}) was answered "
        said += f"{UNUSUAL.get(str(status), status)}{', and stored' * (found.forged_stored > 0)}.{error}"
        step = "Call `genuine` on the bytes as they came, before anything else, and answer 401."
        more = none_of(max(len(found.let_in), found.forged_stored), "forged webhook")
        yield broken(said, step, error.place, **more)


# A database that stands still.


def answered_early(found: "Standstill.Found") -> Iterator[Reason]:
    """Judge answers of 204 for what is not stored; one reason at most."""
    if found.early:
        said = f"While the database hung, answers of 204 came to {count(found.early, 'webhook')}: nothing "
        said += "was stored, and only this process knew of them."
        step, more = "Answer once the update is stored.", none_of(found.early, "answer")
        yield broken(said, step, conflict="dropped-task", **more)
    elif found.missing and not found.refused:
        said = f"The database was back, and {count(found.missing, 'webhook')} of those that came again "
        said += "were answered 204 and not stored."
        yield broken(said, _STORE_FIRST, **none_of(found.missing, "update"))


def connections_held(found: "Standstill.Found", opened_at: Place | None) -> Iterator[Reason]:
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


def answers(found: "Standstill.Found", late: Budget, piled_up: Budget) -> Iterator[Reason]:
    """Judge the answers, what they leave behind, and what becomes of webhooks that come again."""
    silent, error, still = found.unanswered, root(found.errors), "While the database hung"
    if silent:
        who, why = f"{silent} of {THREADS} webhooks", "each keeps a thread of the server"
        if silent == THREADS:
            who = f"{silent} webhooks"
            why = "as many as there are threads, so the server answers nobody"
        said = f"{still}, {who} had no answer after {span(found.seconds)}: {why}."
        step = "Put asyncio.timeout(timeout) around the work, and answer TimeoutError with 503."
        more = {"measured": f"over {found.seconds / TIMEOUT:.0f} x timeout", "budget": str(late)}
        place, more["conflict"] = found.after.waits_at, "missing-deadline"
        yield broken(said, step, place, timed=True, **more)
        return
    others = {k: n for k, n in found.answered.items() if k not in {str(LATER), str(STORED)}}
    if others:
        said = f"{still}, webhooks were answered {refusals(others)} instead of 503.{error}"
        step = "Answer 503 when the deadline passes: the provider sends it again."
        yield broken(said, step, error.place)
    if not found.early:  # answers that came too early are reported by what SIGTERM does to them
        yield from _left_behind(found, piled_up)
        yield from _back_again(found, error)


def _left_behind(found: "Standstill.Found", budget: Budget) -> Iterator[Reason]:
    webhooks = sum(found.answered.values())
    most = budget.limit * webhooks
    if found.left > most:
        goes_on = f"{found.left} tasks and threads kept working on them"
    elif found.carried_out > most:
        goes_on = f"{found.carried_out} of them were stored all the same, once the rows were free"
    else:
        return
    said = f"{webhooks} webhooks were answered 503, and {goes_on}: with every redelivery there are more."
    step = "End the work at the deadline, not only the wait: asyncio.timeout inside it, or future.cancel()."
    place = found.after.waits_at or next(iter(found.after.tasks_at), None)
    if shield := next((one for one in found.middle.tasks_at if "shield(" in one.code), None):
        step = "Await the work itself: asyncio.shield keeps the deadline from ending it."
        place = shield
    left = max(found.left, found.carried_out) / webhooks
    more = {"measured": f"{left:.1f} left behind for each 503", "budget": str(budget)}
    yield broken(said, step, place, conflict="unbounded-gather", **more)


def _back_again(found: "Standstill.Found", error: Trouble) -> Iterator[Reason]:
    if sum(found.refused.values()) > _FEW * sum(found.answered.values()):
        said = "The database was back, and the same webhooks were answered "
        yield not_stored(f"{said}{refusals(found.refused)}.", error, None)
    elif found.miscounted:
        said = "A webhook that was answered 503 and came again was counted twice."
        step = "Leave it to `record`: it counts an update once."
        yield broken(said, step, **none_of(found.miscounted, "message"))


# SIGTERM.


def lost(found: "Sigterm.Found") -> Iterator[Reason]:
    """Judge updates that SIGTERM lost."""
    if found.lost:
        said = f"At SIGTERM, {found.lost} of {found.promised} updates were lost: answered 204, and in no "
        said += "table. The provider will not send them again."
        step = "Answer once the update is stored; whoever waits for it keeps it."
        place, more = found.closed.waits_at, none_of(found.lost, "update")
        yield broken(said, step, place, conflict="dropped-task", **more)


def closing(found: "Sigterm.Found", under_way: int, *, forgets: bool) -> Iterator[Reason]:
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
        said = f"At SIGTERM, {under_way} webhooks were in flight; they were answered "
        said += f"{refusals(refused)}.{error}"
        step = "In close(), wait for those in flight before you take down the pool and the loop."
        more = none_of(sum(refused.values()), "webhook")
        yield broken(said, step, error.place, conflict="dropped-task", **more)
    elif closed.connections and not forgets:
        more = none_of(closed.connections, "connection")
        said = f"When close() had returned, {more['measured']} stayed open."
        step = "Close the pool in close(), on its loop, and wait for that."
        yield broken(said, step, place, conflict="unclosed-resource", **more)


def latecomers(found: "Sigterm.Found") -> Iterator[Reason]:
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
