"""Code that nothing in a program calls: what it does hardly matters."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from loopclinic.scanner.contexts import of_path
from loopclinic.scanner.detector_input import Survey
from loopclinic.scanner.facts.fact_records import Function
from loopclinic.scanner.finding import Finding

_A_PROGRAM = 20
"""A tree of fewer files may be a part, and its callers elsewhere."""
_PACKAGED = ("pyproject.toml", "setup.py", "setup.cfg")
_WORD = re.compile(
    r"#[^\n]*|\b(?:async\s+def|def|class)\s+\w+|^from\s.*|^import\s.*|\w+", re.MULTILINE
)


def without_callers(
    root: Path, paths: list[str], found: list[Finding], survey: Survey
) -> list[Finding]:
    """Return findings, those as light whose function no line of the program names.

    What is installed as a library is called from outside, so that only its private names count.
    """
    if len(paths) < _A_PROGRAM:
        return found
    library = any((root / one).exists() for one in _PACKAGED)
    numbers = {path: number for number, path in enumerate(paths)}
    unknown: dict[tuple[str, str], set[str]] = {}
    for one in found:
        name = one.chain[0].function
        if one.weight != "light" and one.confidence != "hint" and (one.file, name) not in unknown:
            unknown[one.file, name] = {
                part
                for part in _names(survey, numbers[one.file], name)
                if not library or part.startswith("_")
            }
    wanted = set().union(*unknown.values())
    named = _named(root, paths, wanted) if wanted else Counter()
    dead = {key for key, names in unknown.items() if any(not named[name] for name in names)}
    return [
        replace(one, weight="light") if (one.file, one.chain[0].function) in dead else one
        for one in found
    ]


def _names(survey: Survey, file: int, qualname: str) -> set[str]:
    """Return the names by which a function is called, of which none may be missing; empty if others may call it."""
    facts = survey.project.of(file)
    function = next((one for one in facts.functions if one.qualname == qualname), None)
    if function is None or _from_outside(function):
        return set()
    if function.owner is None:
        return set() if function.parent else {function.name}
    owner = facts.classes[function.owner]
    if owner.bases or owner.decorators:
        return set()
    return {owner.name} | ({function.name} if not function.name.startswith("__") else set())


def _from_outside(function: Function) -> bool:
    return bool(
        function.decorators  # which may register it
        or "lambda" in function.traits
        or not function.name
        or function.entry[0] not in ("", "worker")
        or function.name.startswith(("on_", "test", "main"))
    )


def _named(root: Path, paths: list[str], wanted: set[str]) -> Counter[str]:
    """Count what names something in the program itself, other than definitions, imports and comments."""
    named: Counter[str] = Counter()
    for path in paths:
        if of_path(path) in ("test", "script"):
            continue
        try:
            text = (root / path).read_text("utf-8", "replace")
        except OSError:
            continue
        if path.endswith("__init__.py"):  # what it imports is offered to others
            named.update(wanted.intersection(re.findall(r"\w+", text)))
        else:
            named.update(wanted.intersection(_WORD.findall(text)))
    return named
