"""What a lesson is, and what passes between a lesson and the check that runs its lab.

A lesson is a package `lessons/<stem>/`:

    __init__.py    LESSON = Lesson(...): names, minutes, hints; imports nothing heavy
    check.py       CHECK = Check(...): the scenes that drive the learner's lab and judge it
    demo.py        async def demo(console): before and after, live in the terminal
    shipped/       the lab as it ships, `NN_stem.py` or a folder `NN_stem/`

Lessons that have no scenes yet have, instead of `check.py`, `rehearsal.py` with `rehearse(lab, stage)` and
`judgement.py` with `judge(trial)`. A lesson without a lab (00, 90, 91) has `__init__.py` only.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, Protocol

__all__ = ["Budget", "Lesson", "Stage", "Trial"]


@dataclass(frozen=True, slots=True)
class Budget:
    """A line that a lab must stay below, and why it stands where it stands.

    `limit` is in `unit`; a unit of "x" is a ratio.
    """

    limit: float
    unit: str
    reason: str

    def __str__(self) -> str:
        return f"{self.limit:g} {self.unit}"


class Stage(Protocol):
    """What a rehearsal is given, in the child process that runs the learner's lab."""

    seed: int
    rng: Random
    """Seeded by `seed`: the only source of chance, so that a seed replays a verdict."""
    folder: Path
    """A temporary folder, the child's working directory, removed afterwards."""
    services: Mapping[str, str]
    """Name -> address of each service that `Lesson.services` asked for."""
    antipattern: ModuleType
    """The lab as shipped, to be measured in the same run."""

    def step(self, name: str) -> None:
        """Say what is tried now: the sentence a verdict uses if the lab hangs here."""

    def fact(self, name: str, value: Any) -> None:
        """Report one finding (a JSON value); it reaches the trial even if the lab hangs later."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a rehearsal found. Only a rehearsal that came to its end is judged by its lesson."""

    lesson: str
    seed: int
    facts: Mapping[str, Any]
    lab: Path
    """The learner's file or folder; its path stands for the child's copy in every place reported."""
    seconds: float = 0.0
    output: str = ""
    """The first 64 kB of what the lab printed."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One lesson: every fact about it that prose, commands and checks need, once."""

    number: str
    stem: str
    title: str
    summary: str
    minutes: int
    conflicts: tuple[str, ...] = ()
    """The conflicts this lesson treats, by name."""
    requires: tuple[str, ...] = ()
    """Numbers of the lessons to take first."""
    services: tuple[str, ...] = ()
    """Names in `loopclinic.servers.SERVICES` that the check starts."""
    public: tuple[str, ...] = ()
    """Names that the lab must define."""
    hints: tuple[str, str, str] | tuple[()] = ()
    """Three grades: where to look, what to change, how."""
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    deadline: float = 15.0
    """Seconds after which the check stops the lab."""

    @property
    def name(self) -> str:
        """The stem in every room: `01_blocking_sleep`."""
        return f"{self.number}_{self.stem}"

    @property
    def package(self) -> str:
        """The import path of the lesson's package."""
        return f"{__package__}.{self.stem}"

    @property
    def shipped(self) -> Path | None:
        """The lab as it ships (a file or a folder), or None for a lesson without a lab."""
        folder = Path(__file__).parent / self.stem / "shipped"
        for candidate in (folder / f"{self.name}.py", folder / self.name):
            # loopclinic: ignore[blocking-file-io] a look or two at the kit's own folder
            if candidate.exists():
                return candidate
        return None

    @property
    def contract(self) -> Path | None:
        """The file of the lab as it ships that is imported, its docstring the contract.

        That is the lab itself; of a folder its `__init__.py`, or that of the one package in it.
        """
        shipped = self.shipped
        if shipped is None or shipped.is_file():
            return shipped
        own = shipped / "__init__.py"
        return own if own.exists() else next(iter(sorted(shipped.glob("*/__init__.py"))))

    @property
    def promises(self) -> dict[int, str]:
        """The first sentence of each numbered promise of the contract, by its number."""
        if self.contract is None:
            return {}
        # loopclinic: ignore[blocking-file-io] the kit's own file, of a hundred lines
        text = ast.get_docstring(ast.parse(self.contract.read_text("utf-8"))) or ""
        found = re.findall(r"^(\d+)\. (.+(?:\n {2,}.+)*)", text, re.MULTILINE)
        return {
            int(number): re.split(r"(?<=\.)\s", " ".join(promise.split()))[0]
            for number, promise in found
        }
