"""The check of a lesson: its scenes, or for a lesson without them its `rehearsal` and `judgement`."""

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from loopclinic.lessons.core.scene import Check, Judgement
from loopclinic.lessons.lesson import Stage, Trial
from loopclinic.verdict import Reason

__all__ = ["Rehearsed", "check_module", "check_of"]


def check_module(package: str) -> str:
    """Return the name of the module that drives the lab of the lesson in this package."""
    scenes = f"{package}.check"
    return scenes if importlib.util.find_spec(scenes) else f"{package}.rehearsal"


def check_of(package: str) -> "Check | Rehearsed":
    """Return how the lab of the lesson in this package is checked."""
    name = check_module(package)
    if name.endswith(".rehearsal"):
        return Rehearsed(package)
    check: Check = importlib.import_module(name).CHECK
    return check


class Rehearsed:
    """The check of a lesson that has no scenes yet."""

    leaves_nothing = None
    """The number of a promise, where promises are judged."""

    def __init__(self, package: str) -> None:
        self._package = package

    @property
    def leftovers_judged(self) -> tuple[str, ...]:
        """Kinds of leftovers that the judgement looks at itself."""
        return getattr(self._judgement, "LEFTOVERS_JUDGED", ())

    @property
    def _judgement(self) -> ModuleType:
        return importlib.import_module(f"{self._package}.judgement")

    async def play(self, lab: ModuleType, stage: Stage) -> None:
        """Rehearse, in the child."""
        await importlib.import_module(f"{self._package}.rehearsal").rehearse(lab, stage)

    def judge(
        self, trial: Trial, contract: Mapping[int, str], left_behind: Sequence[Reason] | None
    ) -> Judgement:
        """Judge a rehearsal that came to its end; one that did not says nothing."""
        del contract
        if left_behind is None:
            return Judgement(())
        reasons = (*self._judgement.judge(trial), *left_behind)
        praise: Any = getattr(self._judgement, "praise", None)
        if reasons:
            return Judgement(reasons)
        return Judgement((), praise=praise(trial) if praise else "The lab keeps its contract.")
