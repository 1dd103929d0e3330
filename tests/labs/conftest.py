"""Right answers and half-fixes of every lesson: `fixes/NN/right_*.py`, `half_*__<conflict>.py`.

One that breaks a single promise of the contract is `half_p5_*__<conflict>.py`.

Of a lab that is a folder each is a folder, too, and holds what differs from the solution, or from the
right answer that its `base.txt` names.

`make test` takes the verdict of each; of those in `fixes/NN/more/`, only `make prove` does.
"""

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loopclinic.checks.checking import TOO_BUSY, check_lesson
from loopclinic.lessons import Lesson, lessons
from loopclinic.verdict import Verdict

collect_ignore = ["fixes"]  # some hold tests, which are a lab's

PAUSES = (0, 2, 5, 10)
"""Seconds before each attempt to get a verdict of a machine that may be too busy for one."""
FIXES = Path(__file__).parent / "fixes"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Case:
    """One file and what its verdict must be; `conflict` is None where it must pass.

    A half-fix named `__none` breaks the contract in a way that no conflict is the name of.
    """

    lesson: Lesson
    file: Path
    passes: bool
    conflict: str | None

    @property
    def name(self) -> str:
        return f"{self.lesson.number}-{self.file.stem}"

    @property
    def promise(self) -> int | None:
        """The number of the promise that it breaks, where its name says so."""
        named = re.match(r"half_p(\d+)_", self.file.stem)
        return int(named[1]) if named else None

    def laid_out(self, room: Path) -> Path:
        """The file to check: of a folder, one put together in `room`."""
        return laid_out(self.file, self.lesson, room) if self.file.is_dir() else self.file


def laid_out(fix: Path, one: Lesson, room: Path) -> Path:
    assert one.shipped is not None
    solution, whole = ROOT / "solutions" / one.shipped.name, room / fix.name
    layers = [solution] if fix == solution else [solution, fix]
    base = fix / "base.txt"
    if base.exists():
        layers.insert(1, FIXES / one.number / base.read_text().strip())
    for layer in layers:
        left_out = shutil.ignore_patterns("__pycache__", "base.txt")
        shutil.copytree(layer, whole, dirs_exist_ok=True, ignore=left_out)
    return whole


def holds(case: Case, verdict: Verdict) -> bool:
    """Whether it is the verdict that the case must have.

    A machine too busy to tell is no wrong verdict on a half-fix, if what was seen of it is right.
    """
    if case.passes:
        return verdict.passed
    doubted = verdict.headline == TOO_BUSY
    kept = {one.number for one in verdict.promises if one.state == "kept"}
    right = verdict.conflict == case.conflict and case.promise not in kept
    return right and (verdict.status == "not-yet" or doubted)


def verdict_of(one: Lesson, file: Path, **options: Any) -> Verdict:
    """The verdict; where the machine was too busy to tell, it is asked again after a while."""
    for pause in PAUSES:
        time.sleep(pause)
        verdict = check_lesson(one, file=file, **options)
        if verdict.headline != TOO_BUSY:
            break
    return verdict


def cases(*, more: bool = False) -> list[Case]:
    found = []
    for one in lessons():
        if one.shipped is None:
            continue
        found.append(Case(one, ROOT / "solutions" / one.shipped.name, passes=True, conflict=None))
        folder = FIXES / one.number
        pattern = "[!_]*_*" if one.shipped.is_dir() else "*.py"
        rooms = (folder, folder / "more") if more else (folder,)
        for path in sorted(path for room in rooms for path in room.glob(pattern)):
            kind, _, rest = path.stem.partition("_")
            if kind == "right":
                found.append(Case(one, path, passes=True, conflict=None))
            elif kind == "half":
                conflict = rest.partition("__")[2]
                found.append(Case(one, path, False, None if conflict == "none" else conflict))
            else:
                raise ValueError(f"{path}: name it right_*.py or half_*__<conflict>.py")
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        more = metafunc.definition.get_closest_marker("prove") is not None
        found = cases(more=more)
        metafunc.parametrize("case", found, ids=[case.name for case in found])


@pytest.fixture(scope="module")
def as_shipped(request):
    """The verdict of the lab that ships with the module's LESSON."""
    one = request.module.LESSON
    return verdict_of(one, one.shipped, seed=1)
