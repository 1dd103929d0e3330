"""Prefixes of routes: what routers, blueprints and sub-applications add where they are included."""

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
        verb, _, path = function.entry[1].rpartition(" ")
        for decorator in map(uncalled, function.decorators):
            if decorator is not None and decorator[0] == "a" and tail(decorator) in REQUESTS:
                path = self.prefixed(file, decorator[1], path)
                break
        return f"{verb} {path}".strip() if path else function.name

    def prefixed(self, file: int, router: Value, path: str) -> str:
        """Return the path of a route of a router, as clients ask for it."""
        one = self._router(file, router)
        for _ in range(_FAR):
            outer, given = self._within.get(one, (None, ""))
            own = self._own(one)
            # Flask's register_blueprint(url_prefix=) replaces the blueprint's own.
            path = f"{'' if given[:1] == '=' else own.rstrip('/')}{path}"
            path = f"{given.removeprefix('=').rstrip('/')}{path}"
            if outer is None:
                break
            one = outer
        return path

    def _own(self, router: Router) -> str:
        file, value = router
        named = value is not None and value[0] == "g"
        made = self._project.of(file).bindings.get(value[1], []) if named and value else [value]
        given = (at for one in made if one is not None and one[0] == "c" for at in one[3])
        return next((str(text) for at, text in given if at in ("prefix", "url_prefix")), "")

    def _router(self, file: int, value: Value) -> Router:
        """Follow imports of a router to the file that makes it."""
        if value is None:
            return file, None
        if value[0] == "a" and value[2] in ("router", "app") and value[1] is not None:
            modules = [one for one in self._project.evaluate(file, value[1]) if one[0] == "M"]
            if not modules:  # aiohttp's app.router
                return self._router(file, value[1])
        elif value[0] == "a":
            modules = [one for one in self._project.evaluate(file, value[1]) if one[0] == "M"]
        else:
            modules = []
        if modules:
            return self._router(modules[0][1], ("g", value[2]))
        bound = self._project.of(file).bindings.get(value[1], []) if value[0] == "g" else [value]
        for one in bound:
            if one is not None and one[0] == "if":
                where = self._project.modules.find(file, one[1], one[2])
                if self._project.has(where) and where != file:
                    return self._router(where, ("g", one[3]))
        return file, value
