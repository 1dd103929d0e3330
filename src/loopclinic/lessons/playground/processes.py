"""Processes of the playground: callers, service, upstream, PostgreSQL."""

import time
from dataclasses import asdict, dataclass
from typing import Any, Self

from loopclinic.lessons.playground.settings import Settings
from loopclinic.servers import Dials, ServerProcess, Upstream
from loopclinic.servers.postgres import Database

_HOME = "loopclinic.lessons.playground"
_SWEEP = 300.0  # seconds after which the upstream's counts, which nobody reads here, are dropped


@dataclass(frozen=True, slots=True)
class Readings:
    """What callers and service reported at one moment: see `EndlessLoad.take` and `Service.figures`."""

    stream: dict[str, Any] | None
    service: dict[str, Any] | None
    tick: dict[str, Any] | None
    """For a scope."""


class Processes:
    """`with Processes(settings) as processes:` runs the service under its load; not for more than one thread.

    Every process is a child that ends with this one, also when this one is killed.

    Raises:
        ServerError: a process did not start, or died.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.history: dict[str, Any] = {}
        """Of the service's scope, as it began."""
        self._upstream = ServerProcess(
            "loopclinic.servers.upstream_server", asdict(dials(settings)), label="upstream"
        )
        self._callers = ServerProcess(f"{_HOME}.endless_load", label="callers")
        self._service: ServerProcess | None = None
        self._database = Database("playground")
        self._asked: dict[str, Any] = {}
        """Answers that are still to come, by the question."""
        self._begun = False
        self._sweep_at = time.monotonic() + _SWEEP

    def start(self) -> Self:
        """Start everything; the load begins at once."""
        try:
            self._upstream.launch()
            self._callers.launch()
            url = self._upstream.start().address
            # What needs a pool or a database is turned on later, as by a control.
            first = self.settings.but(remedy="none", share=0.0)
            spec = {"upstream": url, "settings": first.to_dict()}
            self._service = ServerProcess(f"{_HOME}.service", spec, label="service").start()
            self._callers.start()
            self.turn(self.settings)
            begin = {"port": self._service.address["port"], "settings": self.settings.to_dict()}
            self._callers.call({"begin": begin})
            self._begun = True
            self.history = self._service.call({"history": None})
        except BaseException:
            self.close()
            raise
        return self

    def turn(self, settings: Settings) -> None:
        """Apply the settings while everything goes on.

        Raises:
            ServerError: PostgreSQL is asked for and there is none; the rest goes on as it was.
        """
        asks = settings.share and settings.how == "query"
        dsn = self._database.start().dsn if asks else ""
        upstream = Upstream(self._upstream.address)
        if time.monotonic() > self._sweep_at:
            self._sweep_at = time.monotonic() + _SWEEP
            upstream.reset_now()
        upstream.set_now(**asdict(dials(settings)))
        assert self._service is not None
        self._service.submit({"turn": {"settings": settings.to_dict(), "dsn": dsn}})
        if self._begun:
            self._callers.submit({"turn": settings.to_dict()})
        self.settings = settings

    def poll(self, *, callers: bool = True) -> Readings:
        """Ask for news, and return those that came since: never waits.

        A service whose GIL is held can't answer; it is asked again once it has.

        Raises:
            ServerError: a process died.
        """
        assert self._service is not None
        news: dict[str, Any] = {}
        for question, process, wanted in (
            ("take", self._callers, callers),
            ("tick", self._service, True),
        ):
            if (asked := self._asked.get(question)) is not None and asked.done():
                news[question] = self._asked.pop(question).result()
            if wanted and question not in self._asked:
                self._asked[question] = process.submit({question: None})
        answers = news.get("tick") or {}
        return Readings(news.get("take"), answers.get("service"), answers.get("tick"))

    def close(self) -> None:
        """End everything. Idempotent."""
        for process in self._known:
            process.close()
        self._database.close()

    @property
    def _known(self) -> list[ServerProcess]:
        return [*filter(None, (self._callers, self._service, self._upstream))]

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run."""
        return tuple(one.pid for one in self._known if one.pid is not None)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


def dials(settings: Settings) -> Dials:
    """Return what the settings ask of the upstream."""
    many = settings.capacity
    return Dials(capacity=many, queue=many, fastest_at=settings.fastest_at)
