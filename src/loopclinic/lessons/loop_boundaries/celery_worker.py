"""Celery workers, with Valkey as their broker: one in this process, with threads; one that forks, in its own."""

import importlib
import itertools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Self

from celery import Celery
from celery.signals import worker_ready
from celery.worker import WorkController

from loopclinic.lessons.loop_boundaries import ladder
from loopclinic.probe.frames import top_frame
from loopclinic.servers.lifeline import ParentLink
from loopclinic.servers.server_process import ServerError

# A worker imports these when it starts: two thirds of a start, which no check should wait for.
for _name in ("app.trace", "concurrency.thread", "fixups.django", "loaders.app", "worker.control"):
    importlib.import_module(f"celery.{_name}")
for _name in ("components", "consumer", "loops", "strategy"):
    importlib.import_module(f"celery.worker.{_name}")
importlib.import_module("kombu.transport.redis")

THREADS = 16
_STARTS, _STOPS = 12.0, 3.0


@dataclass
class Job:
    """A call that a task of Celery's makes; `future` has its result, `thread` its thread once it runs."""

    call: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)
    thread: int | None = None

    def work(self) -> None:
        """Make the call on this thread, and set the future."""
        self.thread = threading.get_ident()
        if self.future.set_running_or_notify_cancel():
            try:
                self.future.set_result(self.call())
            except BaseException as error:
                self.future.set_exception(error)

    @property
    def frame(self) -> Any:
        """The frame in which the thread stands while the call is under way, else None."""
        if self.future.running() and self.thread is not None:
            return top_frame(self.thread)
        return None


class CeleryWorker:
    """`with CeleryWorker(broker) as worker: worker.send(call)`; blocking, for a thread of its own."""

    def __init__(self, broker: str) -> None:
        logging.getLogger("celery").setLevel(logging.CRITICAL)
        self.app = Celery("loopclinic", broker=broker, set_as_current=False)
        self.app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)
        self.app.set_default()  # threads of the pool look their tasks up there
        self._jobs, self._numbers = dict[int, Job](), itertools.count()

        def work(number: int) -> None:
            self._jobs.pop(number).work()

        self._task = self.app.task(work, name="call", shared=False)
        self._ready = threading.Event()
        self._worker = WorkController(
            app=self.app,
            pool="threads",
            concurrency=THREADS,
            prefetch_multiplier=8,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel="CRITICAL",
            ready_callback=lambda _: self._ready.set(),
        )
        self._thread = threading.Thread(target=self._worker.start, name="celery", daemon=True)

    def send(self, call: Callable[[], Any]) -> Job:
        """Send a task to the broker, from which a thread of the pool makes this call."""
        job, number = Job(call), next(self._numbers)
        self._jobs[number] = job
        self._task.delay(number)
        return job

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_STARTS):
            raise ServerError(f"The Celery worker was not ready within {_STARTS:g} s.")
        # Its threads are there before anything is counted.
        all_there = threading.Barrier(THREADS)
        for job in [self.send(lambda: all_there.wait(_STARTS)) for _ in range(THREADS)]:
            job.future.result(_STARTS)
        return self

    def __exit__(self, *_: object) -> None:
        # Stopping waits for its threads: for good where a call hangs.
        stop = threading.Thread(target=self._worker.stop, name="celery-stop", daemon=True)
        stop.start()
        stop.join(_STOPS)
        self._thread.join(_STOPS)
        self.app.close()


def main(link: ParentLink) -> None:
    """Run a worker that forks; its task `call` runs a rung of the ladder, made before the fork.

    Of one rung, the thread and the pool are made then, too.
    """
    names = "broker", "results", "early", "dsn", "processes"
    broker, results, early, dsn, processes = (link.spec[name] for name in names)
    app = Celery("forking", broker=broker, backend=results)
    rungs = ladder.run_each, ladder.runner_each_thread, ladder.one_loop
    runs = {one.__name__: one(dsn) for one in rungs}
    runs["before_the_fork"] = ladder.one_loop(early)
    runs["before_the_fork"](ladder.asked)

    @app.task(name="call")  # type: ignore[untyped-decorator]
    def call(name: str) -> Any:
        return runs[name](ladder.asked)

    worker_ready.connect(lambda **_: link.ready(""), weak=False)
    link.listen()
    quiet = ("--loglevel=CRITICAL", "--without-gossip", "--without-mingle", "--without-heartbeat")
    app.worker_main(["worker", "--pool=prefork", f"--concurrency={processes}", *quiet])
