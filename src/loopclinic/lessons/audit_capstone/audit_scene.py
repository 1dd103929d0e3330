"""Base of the scenes of lab 14: providers that are asked, a queue that is filled, a processor that runs."""

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import module_from_spec
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from loopclinic.lessons.audit_capstone.queue_tables import (
    Company,
    Due,
    Stored,
    answer_of,
    asked_about,
    companies,
    enqueue,
    stored,
)
from loopclinic.lessons.core import Call, Judged, Kept, Place, Said
from loopclinic.lessons.core.call import now
from loopclinic.lessons.core.stacks import defined_at, learners, line_at, waits_at
from loopclinic.lessons.database.postgres_verdicts import LINE, hung
from loopclinic.lessons.database.scenes import Database, DatabaseScene
from loopclinic.lessons.database.stall_interrupter import on_the_loop
from loopclinic.probe import Stall
from loopclinic.servers.server_process import ServerError

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

FUNCTIONS = (
    *("take_audit", "is_cancelled", "company_context", "generate_queries", "execute_queries"),
    *("store_responses", "analyze_responses", "calculate_scores", "finalize_audit"),
    "handle_failure",
)
"""Their promises are numbered from 1, in this order."""
PROVIDERS = ("Aspen", "Birch", "Cedar")
_UNCERTAIN = ("cpu-bound", "blocking-sync-primitive")
"""What a wait for a processor or for the GIL may look like."""
_CERTAIN = 1.9
"""Round trips from which on a wait that no probe could name is one for the database."""
_AWAITS = re.compile(r"\b(async|await)\b")
"""A line that hands over to the loop or to a thread: standing there, it waits for a processor or for the GIL."""
_OF_THREAD = re.compile(r"\.(result|join)\(")
"""A line that waits for another thread."""
ELSEWHERE = ""
"""Stands for what none of the ten functions called."""

# Kept from before a lab is imported, which may replace them.
_sleep, _Event, _Cancelled = asyncio.sleep, asyncio.Event, asyncio.CancelledError
_all_tasks = asyncio.all_tasks
_settrace, _gettrace = sys.settrace, sys.gettrace
_perf_counter, _thread_time = time.perf_counter, time.thread_time

_FORGET = "truncate audits, queries, responses, final_responses"
COUNT = """
    update companies set audits_done = done, queries_asked = done * (select count(*) from questions)
    from (select companies.id as company, count(audits.id) as done from companies
          left join audits on company_id = companies.id and status = 'completed' group by 1) as counted
    where id = company
"""
"""Sets each company's counters to what its completed audits say."""


class RateLimitedError(Exception):
    """A provider was asked more than it allows at a time."""


class OverloadedError(Exception):
    """A provider could not answer."""


class ModelProvider:
    """A language model: it has `limit` places, takes `latency` seconds, and can be made to fail or hang."""

    def __init__(self, name: str, limit: int = 100, latency: float = 0.01) -> None:
        self.name, self.limit, self.latency = name, limit, latency
        self.gate = _Event()
        self.gate.set()
        self.hangs = False
        self.fails = ""
        """A query that says this it can't answer."""
        self.waits: frozenset[str] = frozenset()
        """Queries that it answers when its gate is open; others at once. All of them if empty."""
        self.asked: list[tuple[str, float]] = []
        self.under_way = self.most = self.refused = self.given_up = 0

    async def ask(self, query: str) -> str:
        """Answer a query."""
        self.asked.append((query, now()))
        if self.under_way >= self.limit:
            self.refused += 1
            raise RateLimitedError(f"{self.name} answers {self.limit} queries at a time")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if not self.waits or query in self.waits:
                await self.gate.wait()
            if self.fails and self.fails.lower() in query.lower():
                raise OverloadedError(f"{self.name} is overloaded")
            await _sleep(3600 if self.hangs else self.latency)
        except _Cancelled:
            self.given_up += 1
            raise
        finally:
            self.under_way -= 1
        return answer_of(self.name, query)


@dataclass(frozen=True, slots=True)
class Held:
    """The longest time for which a function kept the loop without a break."""

    place: Place
    seconds: float
    conflict: str
    named: bool
    """Whether a probe named the wait, or its time on a processor was counted; else a busy machine may be why."""


class Steps:
    """While it is open, times each step of the ten functions on the loop's thread, and notes what they raise.

    A step is what runs from a call or an `await` to the next `await` or the end. What one of the ten calls
    of another is the other's.
    """

    def __init__(self) -> None:
        self.raised: dict[str, tuple[str, Place]] = {}
        """What each function raised first, and where; what asyncio and iterators signal is left out."""
        self.defined: dict[str, Place] = {}
        """Where each function that was called is defined."""
        self.called: dict[str, Place] = {}
        """Where each was called first, if by the learner."""
        self._longest: dict[str, tuple[float, float]] = {}
        self._open: list[list[float]] = []
        """Of each step under way: start, start on the processor, and both times of steps inside of it."""

    def __enter__(self) -> Self:
        self._before = _gettrace()
        _settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        _settrace(self._before)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        del event, arg
        code = frame.f_code
        if code.co_name not in FUNCTIONS or not learners(code.co_filename):
            return None
        if code.co_name not in self.defined:
            self.defined[code.co_name] = line_at(code.co_filename, code.co_firstlineno)
            caller = frame.f_back
            if caller is not None and learners(caller.f_code.co_filename):
                self.called[code.co_name] = line_at(caller.f_code.co_filename, caller.f_lineno)
        frame.f_trace_lines = False
        self._open.append([_perf_counter(), _thread_time(), 0.0, 0.0])
        return self._within

    def _within(self, frame: FrameType, event: str, arg: Any) -> Any:
        name, line = frame.f_code.co_name, frame.f_lineno or 0
        if event == "exception" and issubclass(arg[0], Exception):
            if not issubclass(arg[0], StopIteration | StopAsyncIteration):
                said = f"{arg[0].__name__}: {arg[1]}".partition("\n")[0][:200]
                place = line_at(frame.f_code.co_filename, line)
                self.raised.setdefault(name, (said, place))
        elif event == "return" and self._open:
            began, computed, inner, inner_computed = self._open.pop()
            seconds, computed = _perf_counter() - began, _thread_time() - computed
            if self._open:
                self._open[-1][2] += seconds
                self._open[-1][3] += computed
            longest, *_ = self._longest.get(name, (0.0, 0.0))
            if seconds - inner > longest:
                self._longest[name] = seconds - inner, computed - inner_computed
        return self._within

    def held(self, stalls: Iterable[Stall]) -> dict[str, Held]:
        """Return the longest step of each function, at the line that a probe saw, and what it looks like.

        A computation is told by its time on a processor, which others can't lengthen; any other wait only
        at a line that the probe saw on the loop's thread.
        """
        seen: dict[str, tuple[float, Place, str | None]] = {}
        for stall in stalls:
            inside = [one for one in on_the_loop(stall) if learners(one.file)]
            of_stack = next((one.function for one in inside[::-1] if one.function in FUNCTIONS), "")
            for share in stall.lines:
                name = share.function if share.function in FUNCTIONS else of_stack
                if learners(share.file) and share.seconds > seen.get(name, (0.0,))[0]:
                    same = (share.file, share.line) == (stall.file, stall.line)
                    place = Place(share.file, share.line, share.code)
                    seen[name] = share.seconds, place, stall.conflict if same else None
        found = {}
        for name, (seconds, computed) in self._longest.items():
            # The rest was a wait for a processor, or of other lines.
            if computed > min(seconds / 2, LINE):
                at = seen[name][1] if name in seen else self.defined[name]
                found[name] = Held(at, computed, "cpu-bound", named=True)
            elif name in seen and (held := self._waited(seconds, *seen[name][1:])):
                found[name] = held
        if ELSEWHERE in seen and (held := self._waited(*seen[ELSEWHERE])):
            found[ELSEWHERE] = held
        return found

    @staticmethod
    def _waited(seconds: float, place: Place, conflict: str | None) -> Held | None:
        """Return a wait on the loop at this line, None if it may have been one for a processor."""
        thread = conflict == "blocking-sync-primitive" and _OF_THREAD.search(place.code) is not None
        named = conflict is not None and (conflict not in _UNCERTAIN or thread)
        if not named and (seconds < _CERTAIN * LINE or _AWAITS.search(place.code)):
            return None
        return Held(place, seconds, conflict if named and conflict else "blocking-db", named)


def _anew(lab: ModuleType) -> ModuleType:
    """Import a lab's package once more: what its modules keep is not that of their earlier import."""
    for name in [one for one in sys.modules if one.partition(".")[0] == lab.__name__]:
        del sys.modules[name]
    spec = lab.__spec__
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[lab.__name__] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class AuditScene(DatabaseScene):
    """A processor of the lab's, opened for audits that are queued."""

    block, closer, needs = "open_processor(...)", "open_processor", "run"
    opening, free, closing = 11, None, 11
    size: ClassVar[int] = 4
    timeout: ClassVar[float] = 5.0
    resamples: int = 200
    patience: ClassVar[float] = 0.8
    cancels: ClassVar[bool] = False
    """Whether it cancels a run."""
    providers: list[ModelProvider]
    due: list[Due]

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        """Empty the tables, then open the lab's processor, drive and close it.

        Its modules are imported anew, as in a process of its own; those of another worker are others.
        """
        database = await stage.shared(Database, stage)
        for query in (_FORGET, COUNT):
            await database.rows(query)
        self.other, lab = _anew(lab), _anew(lab)  # pickle finds the latter
        self.stage, self.providers = stage, [ModelProvider(name) for name in PROVIDERS]
        self.due = []
        self.prepare()
        opener = defined_at(lab.open_processor)
        return await self.serve(lab, stage, patience=self.patience, opener=opener)

    def prepare(self) -> None:
        """Set the providers' dials."""

    def gates(self, *, opened: bool) -> None:
        """Have providers answer what they are asked, or keep it until they are opened again."""
        for one in self.providers:
            (one.gate.set if opened else one.gate.clear)()

    def open(self, dsn: str, lab: Any = None) -> Any:
        """Return the lab's processor, or that of `lab`, for the database at this address."""
        return (lab or self.lab).open_processor(
            dsn, self.providers, size=self.size, timeout=self.timeout, resamples=self.resamples
        )

    def judge(self, found: Any, judged: Judged) -> Iterator[Said]:
        """Judge how it opened and closed, and between the two what `meet` found."""
        ending = getattr(found, "ending", None)
        late = ending is not None and ending.overdue
        if self.cancels or late:
            # What a run leaves that was cancelled is a promise of its own.
            found = replace(found, served=replace(found.served, tasks=0))
        # Elsewhere a call may have waited for what the check holds, or for the slow line.
        stuck = found.served.stuck if 11 in self.promises else None
        if stuck is not None and stuck.stall.conflict != "cpu-bound":  # which takes long, and ends
            yield hung(stuck, promise=11)
        # A run that was not seen to end well keeps no promise by closing well.
        ended = ending is None or ending.returned
        yield from (one for one in super().judge(found, judged) if ended or one != Kept(11))

    def keeps_open(self, judged: Judged) -> bool:
        """Return whether there is a reason already why connections stay open: a hang is one."""
        ends = [one for one in judged.reasons if one.promise == 11]
        late = any(one.timed or "broken off" in (one.measured or "") for one in ends)
        return late or super().keeps_open(judged)

    async def queue(self, of: Sequence[Company]) -> list[Due]:
        """Queue an audit of each of these companies."""
        first = self.stage.numbers(len(of))
        due = [Due(number, one) for number, one in enumerate(of, first)]
        await self.database.outside(enqueue, self.database.monitor.connection, due)
        self.due += due
        return due

    def some(self, many: int) -> list[Company]:
        """Return so many companies of whose answers some name them and some do not."""
        return self.stage.rng.sample(companies(), many)

    def run(self, service: Any = None) -> Call:
        """Begin to run the processor."""
        service = service or self.service
        return Call(service.run, "run")

    @property
    def run_at(self) -> Place | None:
        """Where the lab defines `run`."""
        return defined_at(getattr(type(self.service), "run", None))

    async def until_asked(self, many: int, within: float = 1.5, call: Call | None = None) -> int:
        """Wait until providers were asked so often or the call is over; return how often they were."""
        ends = now() + within
        while self.asked < many and now() < ends and not (call and call.done):
            await _sleep(0.01)
        return self.asked

    @property
    def asked(self) -> int:
        """How often the providers were asked."""
        return sum(len(one.asked) for one in self.providers)

    def twice(self) -> int:
        """Return how often a provider was asked a query beyond the audits that are due."""
        wanted = Counter(
            (name, query) for one in self.due for query in one.company.queries for name in PROVIDERS
        )
        has = Counter((one.name, query) for one in self.providers for query, _ in one.asked)
        return sum(number for key, number in (has - wanted).items() if key[1] in asked_about())

    async def change(self, query: str, *values: Any) -> bool:
        """Change rows as a user does, and return whether no lock was in the way for 300 ms."""
        await self.database.rows("set lock_timeout = '300ms'")
        try:
            await self.database.rows(query, *values)
        except ServerError:
            return False
        finally:
            await self.database.rows("set lock_timeout = 0")
        return True

    def stands(self, call: Call) -> Place | None:
        """Return the line at which most tasks of the lab's stand now; where `call` waits, if there are none."""
        tasks = _all_tasks() - {call.task}
        places = [place for task in tasks if (place := waits_at(task))]
        places.sort(key=lambda one: (one.file, one.line))
        return max(places, key=places.count, default=None) or call.look() or self.run_at

    async def stored(
        self, due: Sequence[Due] = (), unanswered: Iterable[tuple[str, str]] = ()
    ) -> Stored:
        """Return what PostgreSQL has of these audits, by default of all."""
        return await stored(self.database, due or self.due, PROVIDERS, unanswered)
