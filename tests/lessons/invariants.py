"""What holds of every lesson, and how to repair what does not."""

import ast
import importlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons import Lesson
from loopclinic.lessons.core import Budget, Check
from loopclinic.units import count

ROOT = Path(__file__).parents[2]
LESSONS = "src/loopclinic/lessons"
HALF_FIXES = 3
"""So many break each promise."""
_LONGEST = {"14": 45}
"""Seconds that a verdict may take where it may take more than 30."""
_REASON = 30
"""Characters of a budget's reason, at least."""


def faults(one: Lesson, root: Path = ROOT) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong with a lesson: the file, and its repair."""
    about = f"{LESSONS}/{one.stem}/__init__.py"
    if not (root / f"notebooks/{one.name}.ipynb").exists():
        yield f"notebooks/{one.name}.ipynb is missing: write it, or rename it to that."
    if one.minutes <= 0 or not one.title or not one.summary.endswith("."):
        yield f"{about}: give it `minutes`, a `title`, and a `summary` that ends with a full stop."
    for name in one.conflicts:
        if name not in CONFLICTS:
            yield (
                f"{about}: no conflict is called {name!r}: take one of src/loopclinic/conflicts.py."
            )
    if one.shipped is None:
        folder = root / LESSONS / one.stem / "shipped"
        if folder.exists():
            yield f"{folder.relative_to(root)}: name the lab {one.name}.py, or as a folder {one.name}."
        return
    for room in ("labs", "solutions"):
        if not (root / room / one.shipped.name).exists():
            yield f"{room}/{one.shipped.name} is missing: {_ROOMS[room]}."
    if len(set(one.hints)) != _GRADES:
        yield (
            f"{about}: `hints` needs three that differ: where to look, what to change, how to write it."
        )
    if one.deadline > (longest := _LONGEST.get(one.number, 30)):
        yield f"{about}: `deadline` is {one.deadline:g} s: a verdict may take {longest} s at most."
    yield from _of_contract(one, root)
    yield from _of_check(one)
    yield from _of_fixes(one, root)


_GRADES = 3
_ROOMS = {
    "labs": "copy the lab there from the lesson's folder `shipped`",
    "solutions": "write the reference answer, with the lab's public names",
}


def _of_contract(one: Lesson, root: Path) -> Iterator[str]:
    assert one.contract is not None
    assert one.shipped is not None
    path = one.contract.relative_to(root)
    text = ast.get_docstring(ast.parse(one.contract.read_text("utf-8"))) or ""
    numbers = list(one.promises)
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        yield (
            f"{path}: the promises of its docstring are numbered {numbers or 'nowhere'}: "
            "begin each by its number, as in `1. It returns ...`, and count from 1."
        )
    for number, promise in one.promises.items():
        if not promise.endswith("."):
            yield f"{path}: end promise {number} with a full stop."
    for said in (f"loopclinic check {one.number}", *one.public):
        if said not in text:
            yield f"{path}: say `{said}` in its docstring."
    solution = root / "solutions" / one.shipped.name
    for file in (one.contract, solution / one.contract.relative_to(one.shipped)):
        if not file.exists():
            continue
        missing = set(one.public) - _defined(file)
        for name in sorted(missing):
            yield (
                f"{file.relative_to(root)}: define {name}, or take it out of `public` in "
                f"{LESSONS}/{one.stem}/__init__.py."
            )


def _defined(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    defined = {node.name for node in tree.body if hasattr(node, "name")}
    return defined | {
        name.asname or name.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


def _of_check(one: Lesson) -> Iterator[str]:
    path = f"{LESSONS}/{one.stem}/check.py"
    try:
        module = importlib.import_module(f"{one.package}.check")
    except ModuleNotFoundError as error:
        if error.name != f"{one.package}.check":
            raise
        yield f"{path} is missing: define CHECK = Check(...) there."
        return
    check = getattr(module, "CHECK", None)
    if not isinstance(check, Check):
        yield f"{path}: define CHECK = Check(scenes=..., praise=...)."
        return
    tested = {number for scene in check.scenes for number in scene.promises}
    for number in sorted(set(one.promises) - tested - {check.leaves_nothing}):
        yield (
            f"{path}: no scene tests promise {number}: add {number} to `promises` of the scene that does."
        )
    for scene in check.scenes:
        for number in sorted(set(scene.promises) - set(one.promises)):
            yield (
                f"{path}: {scene.name} tests promise {number}, which the contract does not have: "
                f"take it out of `promises`, or write it into the contract."
            )
    for name, times in Counter(scene.name for scene in check.scenes).items():
        if times > 1:
            yield f"{path}: {times} scenes are called {name}: rename one."
    modules = (module, *(sys.modules[type(scene).__module__] for scene in check.scenes))
    named = {name: one for each in modules for name, one in vars(each).items()}
    budgets = {name: one for name, one in named.items() if isinstance(one, Budget)}
    if not budgets:
        yield (
            f"{path}: it has no budget: state where the line is drawn, as in LATE = Budget(limit, unit, reason)."
        )
    for name, budget in budgets.items():
        if budget.limit <= 0 or len(budget.reason) <= _REASON:
            yield f"{path}: give {name} a limit above 0, and the reason why the line is drawn there."


def _of_fixes(one: Lesson, root: Path) -> Iterator[str]:
    folder = f"tests/labs/fixes/{one.number}"
    if not (root / folder).is_dir():
        yield f"{folder} is missing: write right answers and half-fixes there."
        return
    broken: Counter[int] = Counter()
    right = 0
    for file in _fixes(root / folder):
        path = file.relative_to(root)
        named = re.fullmatch(r"right_\w+|half_(?:p(\d+)_)?\w+?__([a-z-]+)", file.stem)
        if named is None:
            yield (
                f"{path}: name it right_<what>, or half_p<promise>_<what>__<conflict> for a half-fix "
                "that breaks one promise, half_<what>__<conflict> for one that breaks several."
            )
            continue
        number, conflict = named.groups()
        right += conflict is None
        if conflict is not None and conflict not in {*CONFLICTS, "none"}:
            yield (
                f"{path}: no conflict is called {conflict!r}: take one of src/loopclinic/conflicts.py, "
                "or none."
            )
        if number is not None:
            broken[int(number)] += 1
            if int(number) not in one.promises:
                yield f"{path}: the contract has no promise {number}: rename it."
    if not right:
        yield f"{folder}: it has no right answer: write right_<what>, unlike the solution."
    for number in one.promises:
        if broken[number] < HALF_FIXES:
            yield (
                f"{folder}: {count(broken[number], 'half-fix', 'half-fixes')} for promise {number} alone: write "
                f"{HALF_FIXES - broken[number]} more, half_p{number}_<what>__<conflict>."
            )


def _fixes(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.iterdir()):
        if file.name == "more":
            yield from _fixes(file)
        elif not file.name.startswith(("_", ".")):
            yield file


def strays(lessons: tuple[Lesson, ...], root: Path = ROOT) -> Iterator[str]:
    """Yield a sentence for each file that belongs to no lesson."""
    names = {one.name for one in lessons}
    numbers = {one.number for one in lessons if one.shipped is not None}
    for room in ("labs", "solutions", "notebooks"):
        for path in sorted((root / room).glob("[0-9][0-9]_*")):
            if path.stem not in names:
                yield f"{room}/{path.name} belongs to no lesson: remove it, or write {LESSONS}/{path.stem[3:]}."
    for path in sorted((root / "tests/labs/fixes").iterdir()):
        if path.name not in numbers:
            yield f"tests/labs/fixes/{path.name} belongs to no lesson with a lab: remove it."
