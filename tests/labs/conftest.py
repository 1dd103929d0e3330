"""Right answers and half-fixes of every lesson: `fixes/NN/right_*.py`, `half_*__<conflict>.py`.

`make test` takes the verdict of each; of those in `fixes/NN/more/`, only `make prove` does.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from loopclinic.lessons import Lesson, lessons

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


def cases(number: str | None = None, *, more: bool = False) -> list[Case]:
    found = []
    for one in lessons():
        if one.shipped is None or number not in (None, one.number):
            continue
        found.append(Case(one, ROOT / "solutions" / one.shipped.name, passes=True, conflict=None))
        folder = FIXES / one.number
        for path in sorted(folder.rglob("*.py") if more else folder.glob("*.py")):
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
        found = cases(getattr(metafunc.module, "NUMBER", None), more=more)
        metafunc.parametrize("case", found, ids=[case.name for case in found])
