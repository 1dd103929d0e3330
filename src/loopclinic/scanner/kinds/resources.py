"""Sessions, pools and connections that nobody closes."""

from collections.abc import Iterator

from loopclinic.scanner.facts.record import Pattern
from loopclinic.scanner.findings import Finding
from loopclinic.scanner.project import Types
from loopclinic.scanner.survey import Survey

__all__ = ["detect"]


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield what is opened, used, and dropped open."""
    for file, one in survey.patterns("unclosed-resource"):
        value = one.values[0]
        assert value is not None
        if not any(made[0] in ("X", "OM") for made in survey.evaluate(file, value[1])):
            continue  # a function of the project may keep what it returns
        path = _closable(survey, survey.evaluate(file, value))
        if path is not None:
            message = f"This {path} is never closed: use `async with`, or close it."
            yield survey.finding(file, one.function, one, "unclosed-resource", message, "likely")
    for file, one in survey.patterns("made"):
        if one.note.startswith("self."):
            yield from _member(survey, file, one)


def _closable(survey: Survey, types: Types) -> str | None:
    for one in types:
        if one[0] == "O":
            entry = survey.catalogue.classes.get(one[1])
            if entry is not None and entry.closes:
                return entry.path
        elif one[0] == "K":
            return _closable(survey, one[1])
    return None


def _member(survey: Survey, file: int, one: Pattern) -> Iterator[Finding]:
    """What a class opens and keeps, and none of its methods closes."""
    owner = survey.project.function(file, one.function).owner
    name = one.note.removeprefix("self.")
    path = _closable(survey, survey.evaluate(file, one.values[0])) if owner is not None else None
    if owner is None or path is None:
        return
    family = [found[1:] for found in survey.project.ancestors(file, owner) if found[0] == "C"]
    family += survey.project.children(file, owner)
    if any(name in survey.project.cls(*member).closed for member in family):
        return
    message = f"No method of this class closes {one.note}, an {path}: add one, and call it."
    yield survey.finding(file, one.function, one, "unclosed-resource", message, "likely")
