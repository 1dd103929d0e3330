"""A comparison as a sentence, a picture and a table: for notebooks, pages, terminals, pull requests."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from math import isnan
from typing import TYPE_CHECKING

from loopclinic.drawing.charts import Bar, bars
from loopclinic.drawing.tables import Cell, Drawing, bold, table
from loopclinic.load.comparison_figures import FIGURES, Figure
from loopclinic.load.difference import RULE
from loopclinic.load.plots import COLORS
from loopclinic.units import duration

if TYPE_CHECKING:
    from rich.table import Table

    from loopclinic.load.comparison import Comparison

_GROUPED = ("max", "p50")


@dataclass(frozen=True)
class Row:
    """One figure: of each variant its median and its spread, of each but the first its difference."""

    title: str
    figures: tuple[tuple[str, str], ...]
    differences: tuple[tuple[str, bool], ...]
    """In words, and whether there is one."""


def rows(comparison: "Comparison") -> Iterator[Row]:
    """Yield a row for each figure, and for each group of requests below the figure of all."""
    first, *others = comparison.variants
    for figure in comparison.figures:
        groups = [None, *(comparison.groups if figure.name in _GROUPED else ())]
        for group in groups:
            found = [comparison.difference(figure.name, one, first, group=group) for one in others]
            yield Row(
                figure.title if group is None else f"{figure.title}, {group}",
                tuple(_figure(comparison, figure, one, group) for one in comparison.variants),
                tuple((one.words(figure.difference), bool(one.found)) for one in found),
            )


def _figure(
    comparison: "Comparison", figure: Figure, variant: str, group: str | None
) -> tuple[str, str]:
    values = comparison.values(figure.name, variant, group=group)
    known = [value for value in values if not isnan(value)]
    middle = figure.show(comparison.median(figure.name, variant, group=group))
    if not known or (low := figure.show(min(known))) == (high := figure.show(max(known))):
        return middle, ""
    return middle, f"{low} to {high}"


def heads(comparison: "Comparison") -> list[str]:
    """Return the names of the columns: figure, variants, differences."""
    others = comparison.variants[1:]
    against = [f"difference, {name}" if others[1:] else "difference" for name in others]
    return ["", *comparison.variants, *against]


def caption(comparison: "Comparison") -> str:
    """Return what the table's figures are, in a few sentences."""
    rounds = len(comparison.rounds[0])
    words = f"{comparison.load}; medians of {rounds} interleaved rounds, smallest to largest below."
    if len(comparison.variants) > 1:
        words += f" Differences are to {comparison.variants[0]}, as 95 % intervals. {RULE}"
    return words[0].upper() + words[1:]


def figure_table(comparison: "Comparison") -> Drawing:
    """Draw the table of all figures."""
    cells = []
    for row in rows(comparison):
        line: list[Cell | str] = [bold(row.title)]
        for middle, spread in row.figures:
            line.append(Cell(f"{escape(middle)}<small>{escape(spread)}</small>", middle))
        for words, found in row.differences:
            faint = Cell(f"<span class='lc-muted'>{escape(words)}</span>", words)
            line.append(bold(words) if found else faint)
        cells.append(line)
    return table(heads(comparison), cells, note=caption(comparison))


def leading_plot(comparison: "Comparison") -> Drawing:
    """Draw the figure to speak of as bars: the slowest request of a round, or a batch's makespan."""
    figure = FIGURES["max" if comparison.load.jobs is None else "makespan"]
    group = comparison.most if figure.name == "max" else None
    shown = []
    for number, name in enumerate(comparison.variants):
        found = comparison.values(figure.name, name, group=group)
        values = [value for value in found if not isnan(value)]
        around = (min(values), max(values)) if values else None
        middle = comparison.median(figure.name, name, group=group)
        shown.append(Bar(name, middle, COLORS[number % len(COLORS)], around))
    title = f"{figure.title}, {group}" if group else figure.title
    label = f"{title}: median of the rounds, smallest to largest"
    bound = None
    if comparison.bound is not None and group is None:
        bound = (comparison.bound, f"bound {_short(comparison.bound)}")
    return Drawing(bars(shown, write=_short, label=label, bound=bound), label)


def _short(seconds: float) -> str:
    """Return seconds for an axis and its bars alike."""
    return "0" if seconds == 0 else duration(seconds).replace(".00 s", " s").replace(".0 ms", " ms")


def comparison_drawing(comparison: "Comparison") -> Drawing:
    """Draw sentence, picture, warnings; table and distribution unfold."""
    figures, said = figure_table(comparison), comparison.headline
    warnings = "".join(f"<p role='note'>{escape(one)}</p>" for one in comparison.warnings)
    every = comparison.plot("latency").html
    every += "".join(comparison.plot("latency", group=group).html for group in comparison.groups)
    return Drawing(
        f"<p class='lc-say'>{escape(said)}</p>{leading_plot(comparison).html}{warnings}"
        f"<details><summary>All figures</summary>{figures.html}</details>"
        f"<details><summary>Every request</summary>{every}</details>",
        "\n".join([said, "", figures.text, *comparison.warnings]),
    )


def rich_table(comparison: "Comparison") -> "Table":
    """Return the table for a terminal."""
    from rich.table import Table  # only terminals need it
    from rich.text import Text

    drawn = Table(caption=caption(comparison), caption_justify="left", box=None, pad_edge=False)
    for number, name in enumerate(heads(comparison)):
        drawn.add_column(name, justify="right" if number else "left")
    for row in rows(comparison):
        cells = [Text(row.title)]
        for middle, spread in row.figures:
            cells.append(Text(middle).append(f"\n{spread}" if spread else "", style="dim"))
        cells += [Text(words, style="bold" if found else "dim") for words, found in row.differences]
        drawn.add_row(*cells)
    return drawn
