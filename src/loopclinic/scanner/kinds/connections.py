"""Detectors: connections that nobody closes, made for each call, shared by tasks, or waited on without end."""

from collections.abc import Iterator

from loopclinic.scanner.detector_input import Survey
from loopclinic.scanner.facts.fact_records import (
    AWAITED,
    IN_LOOP,
    IN_RETRY,
    IN_TIMEOUT,
    Event,
    Function,
    Pattern,
)
from loopclinic.scanner.facts.values import Value, dotted, tail, uncalled
from loopclinic.scanner.finding import Finding
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Type, Types, functions_in

_ROUTES = words("route get post put patch delete head options websocket api_route")
_CLIENTS = words("httpx.AsyncClient aiohttp.ClientSession openai.AsyncOpenAI")
_SINGLE = words(
    "sqlalchemy.ext.asyncio.AsyncSession sqlalchemy.ext.asyncio.AsyncConnection"
    " asyncpg.connection.Connection"
)
_SHARED = (
    "A session or connection does one thing at a time: give each task its own, or await in turn."
)


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield what waits without end, and what is opened, used, and dropped open."""
    for file, index, _, event in survey.calls:
        yield from _timeless(survey, file, index, event)
        if _shared(survey, file, event):
            yield survey.finding(file, index, event, "shared-connection", _SHARED, "likely")
    yield from _made_for_each_call(survey)
    for file, one in survey.patterns("unbounded-gather"):
        starter, made = one.values
        if "asyncio.gather" in survey.outside(file, starter) and receiver(survey, file, made):
            yield survey.finding(file, one.function, one, "shared-connection", _SHARED, "likely")
    for file, one in survey.patterns("unclosed-generator"):
        if any(
            _opens(survey, *made[1:3])
            for made in survey.evaluate(file, one.values[0])
            if made[0] in "FB"
        ):
            message = (
                "Left before its end, this async generator keeps open what it has opened until it is "
                "collected: go through it within `async with contextlib.aclosing(...)`."
            )
            yield survey.finding(file, one.function, one, "unclosed-resource", message, "hint")
    for file, one in survey.patterns("unclosed-resource"):
        value = one.values[0]
        assert value is not None
        if not any(made[0] in ("X", "OM") for made in survey.evaluate(file, value[1])):
            continue  # a function of the project may keep what it returns
        path = _closable(survey, survey.evaluate(file, value))
        if path is not None:
            message = f"This {path} is never closed: use `async with`, or close it."
            if ":" in one.note:
                line = one.note.partition(":")[2]
                message = f"Line {line} leaves this {path} open: use `async with`, or close it in `finally`."
            yield survey.finding(file, one.function, one, "unclosed-resource", message, "likely")
    for file, one in survey.patterns("made"):
        if one.note.startswith("self."):
            yield from _member(survey, file, one)


def _opens(survey: Survey, file: int, index: int) -> bool:
    """Return whether a function is an async generator that holds something open while it is suspended."""
    function = survey.project.function(file, index)
    generates = function.is_async and "generator" in function.traits
    return generates and any(event.op in ("awith", "with") for event in function.events)


def _made_for_each_call(survey: Survey) -> Iterator[Finding]:
    """Yield the clients that are made in a request handler, a loop, or a function that is called in one."""
    values = [(file, event.value) for file, _, _, event in survey.calls if event.flags & IN_LOOP]
    for kind in ("unbounded-gather", "sequential-awaits"):
        values += [(file, value) for file, one in survey.patterns(kind) for value in one.values]
    repeated = {one[1:3] for at in values for one in survey.evaluate(*at) if one[0] in ("F", "B")}
    for file, index, function, event in survey.calls:
        often = event.flags & IN_LOOP or (file, index) in repeated or _handles_requests(function)
        if not function.is_async or not often or event.flags & IN_RETRY:
            continue
        if any(
            one[0] == "X" and survey.catalogue.cls(one[1]).path in _CLIENTS
            for one in survey.evaluate(file, event.value)
        ):
            message = (
                f"Each call makes a {dotted(event.value)} and connections of its own: "
                "make one at the start, and use it for all."
            )
            yield survey.finding(file, index, event, "too-many-connections", message, "hint")


def _handles_requests(function: Function) -> bool:
    made_by = (uncalled(one) for one in function.decorators)
    return any(one is not None and one[0] == "a" and tail(one) in _ROUTES for one in made_by)


def _shared(survey: Survey, file: int, event: Event) -> bool:
    """Return whether a gather has two operations of one session or connection."""
    if tail(event.value) != "gather" or "asyncio.gather" not in survey.outside(file, event.value):
        return False
    made = (value[1] for _, value in event.args if value is not None and value[0] == "c")
    receivers = [one for one in (receiver(survey, file, value) for value in made) if one]
    return len(set(receivers)) < len(receivers)


def receiver(survey: Survey, file: int, called: Value) -> Value:
    """Return the session or connection, one for all, that a method belongs to."""
    if (
        called is None
        or called[0] != "a"
        or called[1] is None
        or called[1][0] in ("i", "I", "s", "u", "c")
    ):
        return None
    owners = (one[1] for one in survey.evaluate(file, called) if one[0] == "OM")
    return called[1] if any(is_single(survey, owner) for owner in owners) else None


def is_single(survey: Survey, path: str) -> bool:
    """Return whether a class is a session or connection, which does one thing at a time."""
    return survey.catalogue.cls(path).path in _SINGLE


def _closable(survey: Survey, types: Types) -> str | None:
    for one in types:
        if one[0] == "O":
            entry = survey.catalogue.cls(one[1])
            if entry.closes:
                return entry.path
        elif one[0] == "K":
            return _closable(survey, one[1])
    return None


def _borrowed(survey: Survey, file: int, value: Value) -> bool:
    """Return whether a function of the project hands out what the module keeps for everybody."""
    made = value[1] if value is not None and value[0] == "w" else value
    if made is None or made[0] != "c":
        return False
    returned = (
        one
        for node in functions_in(survey.evaluate(file, made[1]))
        for found in survey.project.function(*node).returns
        for one in (found[1] if found is not None and found[0] == "u" else (found,))
    )
    return any(one is not None and one[0] == "g" for one in returned)


def _member(survey: Survey, file: int, one: Pattern) -> Iterator[Finding]:
    """Yield what a class opens and keeps, and none of its methods closes."""
    owner = survey.project.function(file, one.function).owner
    name = one.note.removeprefix("self.")
    path = _closable(survey, survey.evaluate(file, one.values[0])) if owner is not None else None
    if owner is None or path is None or _borrowed(survey, file, one.values[0]):
        return
    family = [found[1:] for found in survey.project.ancestors(file, owner) if found[0] == "C"]
    family += survey.project.children(file, owner)
    if any(name in survey.project.cls(*member).closed for member in family):
        return
    message = f"No method of this class closes {one.note}, an {path}: add one, and call it."
    yield survey.finding(file, one.function, one, "unclosed-resource", message, "likely")


def _timeless(survey: Survey, file: int, index: int, event: Event) -> Iterator[Finding]:
    endless = any(at in ("timeout", "total") and value is None for at, value in event.consts)
    if not endless and (not event.flags & AWAITED or event.flags & IN_TIMEOUT):
        return
    timed = any(at == "timeout" for at, _ in (*event.args, *event.consts))
    for one in survey.evaluate(file, event.value):
        if endless and _takes_timeout(survey, one):
            message = "The timeout is switched off, so a silent peer is waited for without end."
            yield survey.finding(file, index, event, "missing-timeout", message, "hint")
            return
        if (
            event.flags & AWAITED
            and not event.flags & IN_TIMEOUT
            and not timed
            and _untimed(survey, one)
        ):
            message = f"{dotted(event.value)} waits without end: put `async with asyncio.timeout(...)` around it."
            yield survey.finding(file, index, event, "missing-timeout", message, "hint")
            return


def _takes_timeout(survey: Survey, one: Type) -> bool:
    if one[0] == "X" and one[1] in ("aiohttp.ClientTimeout", "httpx.Timeout"):
        return True
    return one[0] in ("X", "OM") and bool(survey.catalogue.cls(one[1]).timeout)


def _untimed(survey: Survey, one: Type) -> bool:
    if one[0] == "X":
        module, _, name = one[1].rpartition(".")
        return any(name in entry.untimed for entry in survey.catalogue.modules.get(module, ()))
    return one[0] == "OM" and one[2] in survey.catalogue.cls(one[1]).untimed
