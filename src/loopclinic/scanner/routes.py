"""Prefixes of routes: what routers, blueprints and sub-applications add where they are included."""

from typing import Any

from loopclinic.scanner.facts.entry_points import REQUESTS
from loopclinic.scanner.facts.fact_records import Function
from loopclinic.scanner.facts.values import Value, tail, uncalled
from loopclinic.scanner.project import Project

_FAR = 5
"""Routers are hardly ever nested deeper."""

Router = tuple[int, Value]
"""A file, and the name that it gives the router, or the call that makes it."""


class Routes:
    """Answers by file and router, from the calls that include one in another."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._within: dict[Router, tuple[Router, str]] = {}
        for file in project.live:
            for one in project.of(file).patterns:
                if one.kind == "includes":
                    outer = self._router(file, one.values[0])
                    for inner in one.values[1:]:
                        self._within.setdefault(self._router(file, inner), (outer, one.note))

    def name(self, file: int, function: Function) -> str:
        """Return method and path of a function that a decorator makes a route, or what it is called."""
        for decorator in map(uncalled, function.decorators):
            if decorator is not None and decorator[0] == "a" and tail(decorator) in REQUESTS:
                return self.prefixed(file, decorator[1], function.entry[1]) or function.name
        return function.entry[1] or function.name

    def prefixed(self, file: int, router: Value, route: str) -> str:
        """Return method and path of a route of a router, as clients ask for it; nothing for no path."""
        verb, _, path = route.rpartition(" ")
        outer: Router | None = self._router(file, router)
        for _ in range(_FAR):
            if outer is None:
                break
            one = outer
            outer, given = self._within.get(one, (None, ""))
            # Flask's register_blueprint(url_prefix=) replaces the blueprint's own.
            own = "" if given[:1] == "=" else self._own(one).rstrip("/")
            path = given.removeprefix("=").rstrip("/") + own + path
        return f"{verb} {path}".strip() if path else ""

    def _own(self, router: Router) -> str:
        given = (at for one in self._bound(*router) if one[0] == "c" for at in one[3])
        return next((str(text) for at, text in given if at in ("prefix", "url_prefix")), "")

    def _router(self, file: int, value: Value) -> Router:
        """Follow imports of a router to the file that makes it."""
        if value is not None and value[0] == "a":
            for one in self._project.evaluate(file, value[1]):
                if one[0] == "M":
                    return self._router(one[1], ("g", value[2]))
            if value[2] == "router":  # aiohttp's app.router
                return self._router(file, value[1])
        for bound in self._bound(file, value):
            if bound[0] == "if":
                where = self._project.modules.find(file, bound[1], bound[2])
                if self._project.has(where) and where != file:
                    return self._router(where, ("g", bound[3]))
        return file, value

    def _bound(self, file: int, value: Value) -> list[tuple[Any, ...]]:
        named = value is not None and value[0] == "g"
        values = self._project.of(file).bindings.get(value[1], []) if named and value else [value]
        return [one for one in values if one is not None]
