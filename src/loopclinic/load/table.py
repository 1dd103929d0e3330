"""A comparison as a table: HTML for notebooks and pages, plain and rich for terminals."""

from html import escape
from math import isnan
from typing import TYPE_CHECKING

from loopclinic.load.difference import RULE, Difference
from loopclinic.load.figures import Figure, figures_of
from loopclinic.units import duration

if TYPE_CHECKING:
    from rich.table import Table

    from loopclinic.load.comparison import Comparison

__all__ = ["caption", "html_table", "ratio_words", "rich_table", "spread_words", "text_table"]

_INK = "var(--jp-content-font-color1, var(--ink, inherit))"
_FAINT = "var(--jp-content-font-color2, var(--faint, #767676))"
_LINE = "var(--jp-border-color2, var(--line, #bdbdbd))"
_FONT = "var(--jp-ui-font-family, system-ui, sans-serif)"
_CELL = "padding:.35em .55em;text-align:right;white-space:nowrap;vertical-align:top"
_NAME = "padding:.35em .9em .35em 0;text-align:left;white-space:nowrap;vertical-align:top"
_GROUPED = ("p50", "p99")


def html_table(comparison: "Comparison") -> str:
    """Return an HTML table without scripts: a row a figure, a column a variant.

    It takes JupyterLab's colors where there are some.
    """
    heads = "".join(
        f"<th scope='col' style='{_CELL};font-weight:600'>{escape(name)}</th>"
        for name in comparison.variants
    )
    rows = []
    for figure in figures_of(comparison.load.jobs is not None):
        cells = "".join(_html_cell(comparison, figure, name) for name in comparison.variants)
        rows.append(
            f"<tr style='border-top:1px solid {_LINE};background:none'>"
            f"<th scope='row' style='{_NAME};font-weight:600'>{escape(figure.title)}</th>{cells}</tr>"
        )
        if figure.name in _GROUPED:
            rows += [_html_group(comparison, figure, group) for group in comparison.groups]
    notes = "".join(f"<div role='note'>{escape(warning)}</div>" for warning in comparison.warnings)
    return (
        f"<div style='overflow-x:auto;color:{_INK};font-family:{_FONT};font-size:13px'>"
        "<table style='border-collapse:collapse;border:0;margin:.4em 0;"
        "font-variant-numeric:tabular-nums'>"
        f"<thead><tr style='background:none'><th style='{_NAME}'></th>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
        f"<div style='color:{_FAINT};max-width:62em;line-height:1.45'>"
        f"{escape(caption(comparison))}{notes}</div></div>"
    )


def caption(comparison: "Comparison") -> str:
    """Return what the table's figures are, in two sentences."""
    rounds = len(comparison.rounds[0])
    first = comparison.variants[0]
    words = f"{comparison.load}; medians of {rounds} interleaved rounds, smallest to largest below."
    if len(comparison.variants) > 1:
        words += f" Ratios are to {first}. {RULE}"
    return words[0].upper() + words[1:]


def _html_cell(comparison: "Comparison", figure: Figure, name: str) -> str:
    small = f"color:{_FAINT};font-size:11px"
    words = escape(figure.show(comparison.median(figure.name, name)))
    if name != comparison.variants[0]:
        ratio = comparison.ratio(figure.name, name)
        strong = ";font-weight:600" if ratio.found else ""
        words += f" <span style='{small}{strong}'>{escape(ratio_words(ratio))}</span>"
    spread = escape(spread_words(comparison, figure, name))
    return f"<td style='{_CELL}'>{words}<div style='{small};line-height:1.35'>{spread}</div></td>"


def _html_group(comparison: "Comparison", figure: Figure, group: str) -> str:
    quiet = f"padding-top:0;color:{_FAINT}"
    medians = (comparison.median(figure.name, name, group=group) for name in comparison.variants)
    cells = "".join(f"<td style='{_CELL};{quiet}'>{duration(median)}</td>" for median in medians)
    return (
        f"<tr style='background:none'><td style='{_NAME};padding-left:1.2em;{quiet}'>"
        f"{escape(group)}</td>{cells}</tr>"
    )


def spread_words(comparison: "Comparison", figure: Figure, name: str) -> str:
    """Return the smallest and the largest over the rounds, or nothing where they look alike."""
    low, high = comparison.spread(figure.name, name)
    if isnan(low) or figure.show(low) == figure.show(high):
        return ""
    return f"{figure.show(low)} to {figure.show(high)}"


def ratio_words(found: Difference) -> str:
    """Return the ratio in a word or two, as a cell has room for."""
    if found.found is False:
        return "no difference"
    if isnan(found.ratio):
        return ""
    return str(found).split(" ", 1)[0] + ("" if found.found else " ?")


def text_table(comparison: "Comparison") -> str:
    """Return the table as plain text: a line a figure, a column a variant."""
    columns = figures_of(comparison.load.jobs is not None)
    rows = [["", *comparison.variants]]
    for figure in columns:
        row = [figure.title]
        for name in comparison.variants:
            words = figure.show(comparison.median(figure.name, name))
            ratio = ratio_words(comparison.ratio(figure.name, name))
            if name != comparison.variants[0] and ratio:
                words += f"  {ratio}"
            row.append(words)
        rows.append(row)
        if figure.name in _GROUPED:
            rows += [_text_group(comparison, figure, group) for group in comparison.groups]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", caption(comparison), *comparison.warnings])


def _text_group(comparison: "Comparison", figure: Figure, group: str) -> list[str]:
    medians = (comparison.median(figure.name, name, group=group) for name in comparison.variants)
    return [f"  {group}", *map(duration, medians)]


def rich_table(comparison: "Comparison") -> "Table":
    """Return the table for a terminal: a row a figure, a column a variant."""
    from rich.table import Table  # noqa: PLC0415 - only terminals need it
    from rich.text import Text  # noqa: PLC0415

    table = Table(caption=caption(comparison), caption_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in comparison.variants:
        table.add_column(name, justify="right")
    for figure in figures_of(comparison.load.jobs is not None):
        cells = []
        for name in comparison.variants:
            cell = Text(figure.show(comparison.median(figure.name, name)))
            spread = spread_words(comparison, figure, name)
            if spread:
                cell.append(f"\n{spread}", style="dim")
            ratio = comparison.ratio(figure.name, name)
            words = ratio_words(ratio)
            if name != comparison.variants[0] and words:
                cell.append(f"\n{words}", style="bold" if ratio.found else "dim")
            cells.append(cell)
        table.add_row(figure.title, *cells)
    return table
