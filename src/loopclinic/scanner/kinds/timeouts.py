"""Awaits on the network without a timeout, and timeouts switched off."""

from collections.abc import Iterator

from loopclinic.scanner.facts.record import AWAITED, IN_TIMEOUT, Event
from loopclinic.scanner.facts.values import dotted
from loopclinic.scanner.findings import Finding
from loopclinic.scanner.project import Type
from loopclinic.scanner.survey import Survey

__all__ = ["detect"]


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield hints on what waits without end."""
    for file, index, function in survey.functions():
        for event in function.events:
            if event.op == "call":
                yield from _timeless(survey, file, index, event)


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
    if one[0] == "X":
        if one[1] in ("aiohttp.ClientTimeout", "httpx.Timeout"):
            return True
        entry = survey.catalogue.classes.get(one[1])
        return entry is not None and bool(entry.timeout)
    if one[0] == "OM":
        entry = survey.catalogue.classes.get(one[1])
        return entry is not None and bool(entry.timeout)
    return False


def _untimed(survey: Survey, one: Type) -> bool:
    if one[0] == "X":
        module, _, name = one[1].rpartition(".")
        return any(name in entry.untimed for entry in survey.catalogue.modules.get(module, ()))
    if one[0] == "OM":
        entry = survey.catalogue.classes.get(one[1])
        return entry is not None and one[2] in entry.untimed
    return False
