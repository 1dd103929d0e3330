"""What a lesson is, and what passes between a lesson and the check that runs its lab.

A lesson is a package `lessons/<stem>/`:

    __init__.py    LESSON = Lesson(...): names, minutes, hints, budgets; imports nothing heavy
    rehearsal.py   async def rehearse(lab, stage): drives the learner's lab, in the check's child
    judgement.py   def judge(trial) -> list[Reason]: reads what the rehearsal found, in the parent
    demo.py        async def demo(console): before and after, live in the terminal
    shipped/       the lab as it ships, `NN_stem.py` or a folder `NN_stem/`

A lesson without a lab (00, 90, 91) has `__init__.py` only.
"""

import importlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, Protocol, cast

from loopclinic.verdict import Reason

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
    def rehearse(self) -> Callable[[ModuleType, Stage], Awaitable[None]]:
        """The coroutine function that drives the lab in the child."""
        module = importlib.import_module(f"{self.package}.rehearsal")
        return cast("Callable[[ModuleType, Stage], Awaitable[None]]", module.rehearse)

    @property
    def judge(self) -> Callable[[Trial], list[Reason]]:
        """The function that reads a trial; an empty list means passed."""
        module = importlib.import_module(f"{self.package}.judgement")
        return cast("Callable[[Trial], list[Reason]]", module.judge)
