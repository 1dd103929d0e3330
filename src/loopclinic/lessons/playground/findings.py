"""What a series of settings showed, as a table: measured, and by theory."""

import math
from collections.abc import Sequence
from html import escape

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.playground.beside import NONE
from loopclinic.lessons.playground.pulse import Seen
from loopclinic.lessons.playground.settings import Settings, in_words

__all__ = ["table"]


def table(seen: Sequence[Seen], sentence: str = "") -> Drawing:
    """Return a row for each step: what was changed, mean and p99 measured and expected, answers."""
    rows, texts = [], []
    before = Settings()
    for one in seen:
        changed = in_words(before.changes(one.step.settings)) or "as it begins"
        before = one.step.settings
        moment, expected = one.moment, one.expected
        cells = [
            changed,
            NONE if moment is None else _time(moment.mean),
            _time(expected.mean),
            NONE if moment is None else _time(moment.p99),
            _time(expected.p99),
            NONE if moment is None else f"{moment.answered:.0f}/s",
            f"{expected.throughput:.0f}/s",
        ]
        notes = "".join(
            f"<br><span class='lc-muted'>{escape(words)}</span>" for words in expected.broken
        )
        rows.append(
            f"<tr><td>{escape(cells[0])}{notes}</td>"
            + "".join(f"<td style='white-space:nowrap'>{escape(cell)}</td>" for cell in cells[1:])
            + "</tr>"
        )
        texts.append("  ".join(cells))
    names = ("", "mean", "by theory", "p99", "by theory", "answered", "by theory")
    head = "".join(f"<th>{name}</th>" for name in names)
    said = f"<p><b>{escape(sentence)}</b></p>" if sentence else ""
    html = f"{said}<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return Drawing(html, "\n".join(filter(None, [sentence, "  ".join(names), *texts])))


def _time(seconds: float) -> str:
    return "grows" if math.isinf(seconds) else NONE if math.isnan(seconds) else span(seconds)
