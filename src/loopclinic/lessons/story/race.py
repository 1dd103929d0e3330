"""Benchmark of several variants of a function: each in a process of its own, in interleaved rounds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from html import escape
from math import isnan, nan
from statistics import median
from typing import Any

from loopclinic.drawing.charts import COLORS, Bar, bars
from loopclinic.drawing.tables import Drawing, Drawn, code, table
from loopclinic.lessons.story.race_worker import Measure, worker
from loopclinic.load.interleave import order
from loopclinic.load.progress_line import Progress
from loopclinic.load.variant import name_of
from loopclinic.units import count

_TIMEOUT = 120.0


@dataclass(frozen=True)
class Runner:
    """One way's rounds, each with its figures by name; a figure that a round lacks is nan."""

    name: str
    rounds: tuple[Mapping[str, float], ...]

    def typical(self, figure: str) -> float:
        """Return the median of a figure; nan if a round lacks it."""
        values = [one[figure] for one in self.rounds]
        return nan if any(map(isnan, values)) else median(values)

    def spread(self, figure: str) -> tuple[float, float]:
        """Return the least and the most of a figure."""
        values = [one[figure] for one in self.rounds]
        return min(values), max(values)


@dataclass(frozen=True)
class Column:
    """A figure of a race: its heading, its name in what `measure` returns, and how it is written."""

    head: str
    figure: str
    write: Callable[[float], str] = "{:.0f}".format
    spread: bool = False
    """Whether the least and the most stand behind it, in brackets."""
    most: bool = False
    """Whether the most of all rounds is shown instead of the median."""

    def of(self, one: Runner) -> str:
        """Return the figure of a way, in words; a dash if it has none."""
        least, most = one.spread(self.figure)
        typical = most if self.most else one.typical(self.figure)
        if isnan(typical):
            return "-"
        around = f" ({self.write(least)} to {self.write(most)})" if self.spread else ""
        return self.write(typical) + around


@dataclass(frozen=True)
class Race:
    """A lesson's race: `race(*ways, rounds=3, **given)` runs it, `given` is handed to `measure`."""

    measure: Measure
    columns: Sequence[Column]
    """The first is the one that bars are drawn of."""
    costs: Mapping[str, str]
    """What each way asks in return, by its name."""
    bound: Callable[["Result"], tuple[float, str]] | None = None
    """What no way's first figure can exceed, and where it comes from, in a sentence."""
    good: Callable[[Runner], bool] = lambda _: True
    """Whether a way's bar is drawn calm."""
    sentence: Callable[["Result"], str] = lambda _: ""
    """What is to be read from it."""
    service: Callable[[], AbstractContextManager[Any]] | None = None
    """Started for a race, such as FaultyUpstream; `measure` is given its address as `url`."""
    warm_up: Mapping[str, Any] | None = None
    """Of `given`, what is different in a run before the first round; None: there is no such run."""

    def __call__(
        self, *ways: Any, rounds: int = 3, progress: bool = True, **given: Any
    ) -> "Result":
        """Measure each way `rounds` times, in turns: ABBA for two, rotating for more.

        Raises:
            LoadError: a way refers to something of this process.
            ServerError: a process dies, or does not answer within two minutes.
        """
        names = list(map(name_of, ways))
        found: list[list[Mapping[str, float]]] = [[] for _ in ways]
        with ExitStack() as stack, Progress(shown=progress) as shown:
            if self.service is not None:
                service = stack.enter_context(self.service())
                given["url"] = getattr(service, "url", service)
            shown.say(f"Starting {count(len(ways), 'process', 'processes')}...")
            processes = [worker(self.measure, way) for way in ways]
            for process in processes:
                stack.callback(process.close)
                process.launch()
            for process in processes:
                process.start()
                if self.warm_up is not None:
                    process.call({**given, **self.warm_up}, timeout=_TIMEOUT)
            for number in range(rounds):
                for place, index in enumerate(order(number, len(ways))):
                    turn = f"Round {number + 1} of {rounds}, {place + 1} of {len(ways)}"
                    shown.say(f"{turn}: {names[index]}")
                    found[index].append(processes[index].call(given, timeout=_TIMEOUT))
            shown.done(f"Measured {count(len(ways), 'way')} in {count(rounds, 'round')}.")
        runners = (Runner(name, tuple(rows)) for name, rows in zip(names, found, strict=True))
        return Result(self, tuple(runners), given)


@dataclass(frozen=True, repr=False)
class Result(Drawn):
    """Rounds of several ways, and what they were given."""

    race: Race
    runners: tuple[Runner, ...]
    given: Mapping[str, Any]

    def __getitem__(self, name: str) -> Runner:
        """Return the way of this name.

        Raises:
            KeyError: there is none; the message lists those there are.
        """
        found = {one.name: one for one in self.runners}
        if name not in found:
            raise KeyError(f"no {name!r}: there are {', '.join(found)}.")
        return found[name]

    def times(self, figure: str, name: str, against: str) -> list[float]:
        """Return, round by round, how many times `against`'s figure this way's is."""
        pairs = zip(self[name].rounds, self[against].rounds, strict=True)
        return [one[figure] / other[figure] for one, other in pairs]

    @property
    def sentence(self) -> str:
        """What is to be read from it."""
        return self.race.sentence(self)

    def drawing(self) -> Drawing:
        """Draw the sentence, and a bar for each way from zero; the table of all figures unfolds."""
        race, head = self.race, self.race.columns[0]
        bound, words = race.bound(self) if race.bound else (None, "")

        def bar(one: Runner) -> Bar:
            value = one.typical(head.figure)
            color = COLORS["accepted" if race.good(one) else "refused"]
            return Bar(one.name, value, color, None if isnan(value) else one.spread(head.figure))

        label = f"{head.head}: median of the rounds, smallest to largest"
        limit = None if bound is None else (bound, f"bound {head.write(bound)}")
        svg = bars([*map(bar, self.runners)], write=head.write, label=label, bound=limit)
        around = f"Medians of {count(len(self.runners[0].rounds), 'round')}, in brackets the least and the most."
        heads = ["Way, and what it costs", *(column.head for column in race.columns)]
        names = (code(one.name, race.costs.get(one.name, "")) for one in self.runners)
        rows = ([column.of(one) for column in race.columns] for one in self.runners)
        lines = [[name, *row] for name, row in zip(names, rows, strict=True)]
        figures = table(heads, lines, note=f"{around} {words}".rstrip())
        said = f"<p class='lc-say'>{escape(self.sentence)}</p>" if self.sentence else ""
        return Drawing(
            f"{said}{svg}<details><summary>All figures, and what each way costs</summary>"
            f"{figures.html}</details>",
            "\n".join(filter(None, [self.sentence, figures.text])),
        )
