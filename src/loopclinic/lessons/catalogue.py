"""The ordered catalogue of lessons, and what a lesson is.

A lesson is a package `lessons/<stem>/`:

    __init__.py    LESSON = Lesson(...): names, minutes, hints; imports nothing heavy
    check.py       CHECK = Check(...): the scenes that drive the learner's lab and judge it
    story.py       what its notebook shows; ladder.py the rungs that the notebook writes
    demo.py        SCENE; async def demo(console): before and after, live in the terminal
    shipped/       the lab as it ships, `NN_stem.py` or a folder `NN_stem/`

A lesson without a lab (00, 90, 91) has `__init__.py` only. The catalogue finds packages by looking.
"""

import ast
import importlib
import pkgutil
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_SHARED = {"core", "database", "schedules", "story"}
"""Packages beside the lessons that are none."""


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
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return None
        folder = Path(spec.submodule_search_locations[0]) / "shipped"
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
        return {number: sentences[0] for number, sentences in self.clauses.items()}

    @property
    def clauses(self) -> dict[int, list[str]]:
        """Each numbered promise of the contract, by its number: its first sentence, and all others as one text."""
        if self.contract is None:
            return {}
        # loopclinic: ignore[blocking-file-io] the kit's own file, of a hundred lines
        text = ast.get_docstring(ast.parse(self.contract.read_text("utf-8"))) or ""
        found = re.findall(r"^(\d+)\. (.+(?:\n {2,}.+)*)", text, re.MULTILINE)
        return {
            int(number): re.split(r"(?<=\.)\s", " ".join(promise.split()), maxsplit=1)
            for number, promise in found
        }


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


def graded(text: str) -> tuple[str, str, str]:
    """Return the three hints that a text has, a paragraph each, without its line breaks."""
    first, second, third = (" ".join(one.split()) for one in text.strip().split("\n\n"))
    return first, second, third


class UnknownLessonError(LookupError):
    """No lesson has that number or name; the message lists those there are."""


@cache
def lessons() -> tuple[Lesson, ...]:
    """Return all lessons, ordered by number."""
    package = importlib.import_module("loopclinic.lessons")
    found = [
        importlib.import_module(f"{package.__name__}.{entry.name}").LESSON
        for entry in pkgutil.iter_modules(package.__path__)
        if entry.ispkg and entry.name not in _SHARED
    ]
    return tuple(sorted(found, key=lambda one: one.number))


def lesson(key: str | int) -> Lesson:
    """Return the lesson with this number ("01", "1", 1), stem or name.

    Raises:
        UnknownLessonError: there is none.
    """
    wanted = f"{key:02d}" if isinstance(key, int) else key.strip().removesuffix(".py")
    if wanted.isdigit():
        wanted = wanted.zfill(2)
    for one in lessons():
        if wanted in (one.number, one.stem, one.name):
            return one
    known = ", ".join(one.name for one in lessons())
    raise UnknownLessonError(f"There is no lesson {key!r}. There are: {known}.")
