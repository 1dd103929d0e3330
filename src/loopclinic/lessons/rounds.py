"""What runs of several ways, in turns, have in common: figures by name, their median and spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol, TypeVar

__all__ = ["Rounds", "called", "name_of"]


class _Called(Protocol):
    @property
    def name(self) -> str: ...


_C = TypeVar("_C", bound=_Called)


@dataclass(frozen=True)
class Rounds:
    """One way's rounds, each with its figures by name."""

    name: str
    rounds: tuple[Mapping[str, float], ...]

    def typical(self, figure: str) -> float:
        """Return the median of a figure."""
        return median(one[figure] for one in self.rounds)

    def spread(self, figure: str) -> tuple[float, float]:
        """Return the least and the most of a figure."""
        values = [one[figure] for one in self.rounds]
        return min(values), max(values)


def called(name: str, among: Sequence[_C]) -> _C:
    """Return the one of this name.

    Raises:
        KeyError: there is none; the message lists those there are.
    """
    for one in among:
        if one.name == name:
            return one
    raise KeyError(f"no {name!r}: there are {', '.join(one.name for one in among)}.")


def name_of(way: Any) -> str:
    """Return what pictures and tables call a function or a class."""
    return str(getattr(way, "__name__", type(way).__name__))
