"""Baseline: a file of known findings, so that a scan reports only new ones."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from loopclinic.scanner.finding import Finding


class BaselineError(ValueError):
    """The file can't be used; the message says why."""


def mark(one: Finding) -> str:
    """Return what stays the same when lines are added above: file, kind, function and text."""
    function = one.chain[0].function if one.chain else ""
    return f"{one.file} {function} {one.kind}: {one.source}"


class Baseline:
    """How many findings of each mark are known."""

    def __init__(self, known: Counter[str]) -> None:
        self._known = known

    @classmethod
    def of(cls, found: Iterable[Finding]) -> "Baseline":
        """Return the baseline that knows these findings."""
        return cls(Counter(map(mark, found)))

    @classmethod
    def load(cls, path: Path) -> "Baseline":
        """Read a baseline.

        Raises:
            BaselineError: it is missing, or something else.
        """
        try:
            data = json.loads(path.read_text("utf-8"))
            return cls(Counter({str(key): int(value) for key, value in data["known"].items()}))
        except FileNotFoundError:
            raise BaselineError(
                f"{path} does not exist: write it with --write-baseline {path.name}."
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BaselineError(f"{path} is no baseline of this scanner: {error}.") from error

    @staticmethod
    def write(path: Path, found: Iterable[Finding]) -> int:
        """Write a baseline of these findings; return how many they are.

        `reasons` is for whoever keeps the file, mark -> why it stays; those of known marks are kept.
        """
        known = Counter(mark(one) for one in found)
        try:
            before = json.loads(path.read_text("utf-8"))["reasons"]
        except (OSError, ValueError, KeyError, TypeError):
            before = {}
        reasons = {name: before[name] for name in sorted(known) if name in before}
        data = {"schema": 1, "known": dict(sorted(known.items())), "reasons": reasons}
        path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
        return known.total()

    def without(self, found: Iterable[Finding]) -> tuple[list[Finding], int]:
        """Return what is not known, and how many were."""
        left = Counter(self._known)
        new: list[Finding] = []
        known = 0
        for one in found:
            name = mark(one)
            if left[name] > 0:
                left[name] -= 1
                known += 1
            else:
                new.append(one)
        return new, known
