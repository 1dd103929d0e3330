"""Records each step of a loop's tasks: when it was ready, when it ran, and where the task waits afterwards.

The loop's own methods are covered by attributes of the instance: `call_soon` sees a task become ready and
times its step, `call_at` and `call_soon_threadsafe` know since when a timer or a thread wanted it, and
`create_task` sees a first step that is eager. Tasks and coroutines stay what they are, so asyncio's call
graph stays whole, and the way is the same on every Python.
"""

import asyncio
import contextlib
import sys
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from operator import call
from time import perf_counter
from types import BuiltinFunctionType, MethodType
from typing import TYPE_CHECKING, Any

from loopclinic.probe.census import due_futures
from loopclinic.timeline.model import Lane, Outcome, Span, State
from loopclinic.timeline.waits import Pause, line_of, pause_of

if TYPE_CHECKING:
    from types import CodeType

Clock = Callable[[], float]
Step = tuple["Recorded", float, float, float, Pause | None]
"""Lane, ready since, began, ended, and where the task is suspended then: None if that was its end."""
Task = asyncio.Task[Any]

_TASKS = (asyncio.Task, asyncio.tasks._PyTask)  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio's task in Python
_NAMED = (BuiltinFunctionType, MethodType)
_STEPS = {"TaskStepMethWrapper", "task_wakeup", "__step", "__wakeup", "TimedStep"}
"""What a loop calls to run a task: types and names, of tasks in C and in Python, and of another recorder."""
_INSTANT = 1e-9  # seconds: what a clock's rounding makes
_CANCELS = 20  # cancel requests kept of a lane
_ERROR = 120  # characters of an error
_KERNEL = {"ipykernel", "tornado", "jupyter_client", "zmq", "IPython", "anywidget", "ipywidgets"}
"""Packages whose tasks are the notebook's own."""


class Recorded:
    """The lane of one task while it is recorded; it does not keep the task alive."""

    def __init__(self, recorder: "Recorder", task: Task, coroutine: Any, born: float) -> None:
        self.ready: float | None = None
        """Since when a step is scheduled, None if none is."""
        self.recorder = recorder
        self.key = id(task)
        # Of C alone: an interrupt that came while Python ran here would be printed, and lost.
        lost = map(recorder.lost.append, zip(repeat(self), map(call, repeat(recorder.clock))))
        self.task = weakref.ref(task, partial(next, lost))
        self.born = born
        self.code: CodeType | None = getattr(coroutine, "cr_code", None)
        self.name = task.get_name()
        self.number = 0
        """Which one of its coroutine's tasks it is, from 1."""
        self.pause: Pause | None = None
        """Where it was suspended when the recording began."""
        self.ended: float | None = None
        self.outcome: Outcome = "pending"
        self.error = ""
        self.cancels = task.cancelling()
        self.cancelled_at: deque[float] = deque(maxlen=_CANCELS)
        self.steps = 0

    @property
    def function(self) -> str:
        """The task's own coroutine."""
        return self.code.co_qualname.rpartition("<locals>.")[2] if self.code else "task"


class TimedStep:
    """Runs a step of a task and times it; the loop's handle keeps it, and so the task, until that is over.

    It is named as those expect who look at handles: `__self__` is the task, `__wrapped__` its own step.
    """

    __slots__ = ("__self__", "__wrapped__", "lane", "ready")

    def __init__(self, lane: Recorded, task: Task, step: Any, ready: float) -> None:
        self.lane, self.ready = lane, ready
        self.__self__, self.__wrapped__ = task, step

    def __call__(self, *args: object) -> None:
        """Run the step."""
        lane, ready = self.lane, self.ready
        lane.ready = None
        recorder = lane.recorder
        began = recorder.clock()
        if recorder.first is not None:
            recorder.end_first()
        before, recorder.running = recorder.running, (lane, ready, began)
        try:
            self.__wrapped__(*args)
        finally:
            ended = recorder.clock()
            recorder.running = before
            recorder.add(lane, self.__self__, ready, began, ended)


class _Wanted:
    """Runs a callback that was due at a known time: a task that it wakes has been ready since then."""

    __slots__ = ("__wrapped__", "recorder", "since")

    def __init__(self, recorder: "Recorder", callback: Any, since: float) -> None:
        self.recorder, self.since = recorder, since
        self.__wrapped__ = callback

    def __call__(self, *args: object) -> None:
        self.recorder.wanted = self.since
        try:
            self.__wrapped__(*args)
        finally:
            self.recorder.wanted = None


class Recorder:
    """Records the tasks of one loop between `install` and `remove`, both on the loop's thread.

    Of the tasks `lanes` at most have one: a new task takes the lane of the task that ended first, and
    while none has ended it gets none. The last `steps` steps of all tasks together are kept.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock = perf_counter,
        *,
        lanes: int,
        steps: int,
    ) -> None:
        self.loop, self.clock, self._most = loop, clock, lanes
        self.began = self.stopped = clock()
        self.live = False
        self.refused = self.replaced = 0
        self.running: tuple[Recorded, float, float] | None = None
        """The step in progress: its lane, since when it was ready, when it began."""
        self.first: Recorded | None = None
        """The lane whose step was in progress when the recording began, until that is over."""
        self.wanted: float | None = None
        """Since when the callback in progress was due."""
        self._steps: deque[Step] = deque(maxlen=steps)
        self._lanes: dict[int, Recorded] = {}
        self._over: deque[Recorded] = deque()
        self.lost: deque[tuple[Recorded, float]] = deque()
        """Lanes whose task is no more, and since when."""
        self._names: Counter[str] = Counter()
        self._creating: Any = None
        self._offset = 0.0
        self._undo: list[Callable[[], None]] = []
        self._kernel = "ipykernel" in sys.modules

    def install(self) -> None:
        """Begin to record, with lanes for the tasks that are there already."""
        loop: Any = self.loop
        self.live, self.began = True, self.clock()
        self._offset = self.began - loop.time()
        current = asyncio.current_task(loop) if loop.is_running() else None
        for task in [*([current] if current else ()), *(asyncio.all_tasks(loop) - {current})]:
            lane = self._new_lane(task, task.get_coro(), self.began, force=task is current)
            waiter = getattr(task, "_fut_waiter", None)
            if lane is not None and task is not current and waiter is not None:
                lane.pause = pause_of(task.get_coro(), waiter)
        for handle in list(getattr(loop, "_ready", ())):  # scheduled, and not run yet
            handle._callback = self._timed(handle._callback)  # noqa: SLF001 - nothing public reaches it
        self._cover("call_soon", self._call_soon)
        self._cover("call_soon_threadsafe", self._call_soon_threadsafe)
        self._cover("call_at", self._timer(lambda when: when))
        if not isinstance(loop, asyncio.BaseEventLoop):  # whose call_later calls call_at
            self._cover("call_later", self._timer(lambda delay: loop.time() + delay))
        self._cover("create_task", self._create_task)
        if current is not None:
            self.first = self._lanes.get(id(current))
            if self.first is not None:
                self.running = self.first, self.began, self.began
                loop.call_soon(self.end_first)

    def remove(self) -> None:
        """Leave the loop as it was found; where somebody covered it after us, only pass on."""
        self._end_lost()
        self.live, self.stopped = False, self.clock()
        while self._undo:
            self._undo.pop()()

    def lanes(self) -> tuple[Lane, ...]:
        """Return the lanes up to now, or to `remove`; from any thread."""
        now = self.clock() if self.live else self.stopped
        self._end_lost()
        due = due_futures(self.loop, self.loop.time()) if self.live else {}
        known = sorted([*list(self._lanes.values()), *self._over], key=lambda one: one.born)
        steps: dict[int, list[Step]] = {id(one): [] for one in known}
        for step in self._steps.copy():
            mine = steps.get(id(step[0]))
            if mine is not None:
                mine.append(step)
        return tuple(self._drawn(one, steps[id(one)], now, due) for one in known)

    # What the loop's methods do meanwhile.

    def _cover(self, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:
        attributes = vars(self.loop)
        before, ours = attributes.get(name), make(getattr(self.loop, name))
        setattr(self.loop, name, ours)

        def undo() -> None:
            if attributes.get(name) is ours:
                delattr(self.loop, name)
                if before is not None:
                    setattr(self.loop, name, before)

        self._undo.append(undo)

    def _call_soon(self, found: Any) -> Callable[..., Any]:
        timed = self._timed

        def call_soon(callback: Any, *args: Any, **options: Any) -> Any:
            return found(timed(callback), *args, **options)

        return call_soon

    def _call_soon_threadsafe(self, found: Any) -> Callable[..., Any]:
        def call_soon_threadsafe(callback: Any, *args: Any, **options: Any) -> Any:
            since = self.clock()
            return found(_Wanted(self, callback, since), *args, **options)

        return call_soon_threadsafe

    def _timer(self, due: Callable[[float], float]) -> Callable[[Any], Callable[..., Any]]:
        def cover(found: Any) -> Callable[..., Any]:
            def timer(when: float, callback: Any, *args: Any, **options: Any) -> Any:
                since = due(when) + self._offset
                return found(when, _Wanted(self, callback, since), *args, **options)

            return timer

        return cover

    def _create_task(self, found: Any) -> Callable[..., Any]:
        def create_task(coroutine: Any, **options: Any) -> Task:
            born = self.clock()
            before, self._creating = self._creating, coroutine
            try:
                task: Task = found(coroutine, **options)
            finally:
                self._creating = before
            stood = getattr(coroutine, "cr_suspended", False)
            if self.live and (task.done() or stood):  # eager: its first step is over
                self._end_lost()
                lane = self._lanes.get(id(task)) or self._new_lane(task, coroutine, born)
                if lane is not None:
                    self.add(lane, task, born, born, self.clock())
                    lane.born = born
            return task

        return create_task

    def _timed(self, callback: Any) -> Any:
        """Return what runs a task's step and times it; any other callback as it is."""
        task = getattr(callback, "__self__", None)
        if task is None or not self.live:
            return callback
        if self.lost:  # another task may be where one was
            self._end_lost()
        lane = self._lanes.get(id(task))
        kind = type(callback)
        if (callback.__name__ if kind in _NAMED else kind.__name__) not in _STEPS:
            return callback
        now = self.clock()
        if lane is None:
            if not isinstance(task, _TASKS):
                return callback
            coroutine = task.get_coro()
            begun = getattr(coroutine, "cr_suspended", True)
            if begun and coroutine is not self._creating:
                return callback  # it got no lane at its birth
            lane = self._new_lane(task, coroutine, now)
            if lane is None:
                return callback
        elif self.wanted is not None and self.wanted < now:
            now = self.wanted
        lane.ready = now
        return TimedStep(lane, task, callback, now)

    # What is kept.

    def add(self, lane: Recorded, task: Task, ready: float, began: float, ended: float) -> None:
        """Record a step of a task that is over."""
        if not self.live:
            return
        if task.cancelling() > lane.cancels:
            lane.cancels = task.cancelling()
            lane.cancelled_at.append(ready)
        pause = None
        if not task.done():
            pause = pause_of(task.get_coro(), getattr(task, "_fut_waiter", None))
        elif task.cancelled():
            self.end(lane, "cancelled", ended)
        else:  # asked as an attribute: exception() would count as having looked at it
            error = getattr(task, "_exception", None)
            if error is not None:
                lane.error = f"{type(error).__name__}: {error}".rstrip(": ")[:_ERROR]
            self.end(lane, "failed" if error else "done", ended)
        if not lane.steps or lane.ended:
            lane.name = task.get_name()  # it may be set after the birth
        lane.steps += 1
        self._steps.append((lane, ready, began, ended, pause))

    def end_first(self) -> None:
        """Record that the step is over which was in progress when the recording began."""
        lane, self.first = self.first, None
        task = lane.task() if lane is not None else None
        if lane is not None and task is not None:
            self.running = None
            self.add(lane, task, self.began, self.began, self.clock())

    def _new_lane(
        self, task: Task, coroutine: Any, born: float, *, force: bool = False
    ) -> Recorded | None:
        if self._kernel and not force and _package(coroutine) in _KERNEL:
            return None
        if len(self._lanes) + len(self._over) >= self._most:
            if not self._over:
                self.refused += 1
                return None
            self.replaced += 1
            self._over.popleft()
        lane = Recorded(self, task, coroutine, born)
        if force and _package(coroutine) in _KERNEL:
            lane.code = None
        self._names[lane.function] += 1
        lane.number = self._names[lane.function]
        self._lanes[id(task)] = lane
        return lane

    def end(self, lane: Recorded, outcome: Outcome, ended: float) -> None:
        """Record how a task ended."""
        if self.live and self._lanes.pop(lane.key, None) is not None:
            lane.outcome, lane.ended = outcome, ended
            self._over.append(lane)

    def _end_lost(self) -> None:
        with contextlib.suppress(IndexError):  # another thread does so, too
            while self.lost:
                lane, ended = self.lost.popleft()
                if lane.outcome == "pending":
                    self.end(lane, "lost", ended)

    def _drawn(self, lane: Recorded, steps: list[Step], now: float, due: dict[int, float]) -> Lane:
        task = lane.task()
        name = task.get_name() if task is not None else lane.name
        if name.startswith("Task-"):
            many = self._names[lane.function] > 1
            name = f"{lane.function} {lane.number}" if many else lane.function
            if lane.code is None and self._kernel:
                name = "this cell"
        began = self.began
        codes = {lane.code, *(step[4][0] for step in steps if step[4] is not None)}
        return Lane(
            name=name,
            spans=tuple(
                Span(state, start - began, end - began, *_words(pause, state))
                for state, start, end, pause in self._stretches(lane, steps, now, due)
                if end - start > _INSTANT or state == "running"
            ),
            born=lane.born - began,
            ended=None if lane.ended is None else lane.ended - began,
            outcome=lane.outcome,
            error=lane.error,
            coroutine=f"{lane.function} ({line_of(lane.code, -1)[0]})" if lane.code else "",
            cancel_requests=tuple(at - began for at in lane.cancelled_at.copy()),
            own=not all("/site-packages/" in code.co_filename for code in codes if code),
            left_out=max(0, lane.steps - len(steps)),
        )

    def _stretches(
        self, lane: Recorded, steps: list[Step], now: float, due: dict[int, float]
    ) -> Iterator[tuple[State, float, float, Pause | None]]:
        """Yield the states of a lane: suspended, ready, running, and again."""
        pause, cursor = lane.pause, lane.born
        if lane.steps > len(steps) and steps:
            pause, cursor = None, steps[0][1]
        running = self.running
        open_step = (running,) if running is not None and running[0] is lane else ()
        for _, since, start, end, after in [*steps, *((*one, now, None) for one in open_step)]:
            ready = max(since, cursor)
            if pause is not None:
                yield "suspended", cursor, ready, pause
            yield "ready", ready, start, None
            yield "running", start, end, after
            pause, cursor = after, end
        if open_step or lane.outcome != "pending":
            if lane.outcome == "lost" and lane.ended is not None:
                yield "suspended", cursor, lane.ended, pause
            return
        ready = now if lane.ready is None else max(lane.ready, cursor)
        task = lane.task()
        if lane.ready is None and task is not None:
            when = due.get(id(getattr(task, "_fut_waiter", None)))
            ready = now if when is None else max(when + self._offset, cursor)
        if pause is not None:
            yield "suspended", cursor, ready, pause
        yield "ready", ready, now, None


def _words(pause: Pause | None, state: State) -> tuple[str, str, str]:
    if pause is None:
        return "", "", ""
    return *line_of(*pause[:2]), pause[2] if state == "suspended" else ""


def _package(coroutine: Any) -> str:
    frame = getattr(coroutine, "cr_frame", None)
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] if frame is not None else ""
