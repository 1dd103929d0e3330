"""Findings in a notebook: a table that sorts on a click, with links to the lines."""

import html
import os
from pathlib import Path
from urllib.parse import quote

from loopclinic.scanner.findings import CONFIDENCES, Finding
from loopclinic.scanner.report import Report
from loopclinic.scanner.reports.page import marked
from loopclinic.scanner.reports.totals import totals
from loopclinic.units import count

__all__ = ["table"]

_SORT = (
    "const t=this.closest('table'),b=t.tBodies[0],i=[...this.parentNode.children].indexOf(this),"
    "d=this.dataset.d=this.dataset.d==='1'?'-1':'1';"
    "[...b.rows].sort((x,y)=>d*x.cells[i].dataset.k.localeCompare(y.cells[i].dataset.k,undefined,"
    "{numeric:true})).forEach(r=>b.append(r))"
)
_SHOWN = 500


def table(report: Report) -> str:
    """Return the table; a link opens the file in JupyterLab at its line where it lies below its root."""
    heads = "".join(
        f"<th style='cursor:pointer;text-align:left' title='sort' onclick=\"{_SORT}\">{name}</th>"
        for name in ("line", "conflict", "sure", "what", "lesson")
    )
    rows = "".join(_row(one, report) for one in report.findings[:_SHOWN])
    more = len(report.findings) - _SHOWN
    notes = f"<p>and {more:,} more</p>" if more > 0 else ""
    if report.skipped:
        items = "".join(
            f"<li>{html.escape(one.where)}: {html.escape(one.reason)}</li>"
            for one in report.skipped
        )
        notes += (
            f"<details><summary>{len(report.skipped)} skipped</summary><ul>{items}</ul></details>"
        )
    counts = ", ".join(f"{value:,} {words}" for value, words in totals(report) if value)
    return (
        f"<p>{count(len(report.findings), 'finding')}; {html.escape(counts)}</p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}"
    )


def _row(one: Finding, report: Report) -> str:
    what = marked(one.message)
    if one.through_calls:
        steps = "<br>".join(
            html.escape(f"{frame.file}:{frame.line} {frame.function} calls {frame.call}")
            for frame in one.chain
        )
        what = f"<details><summary>{what}</summary>{steps}</details>"
    shown = html.escape(one.file).replace("/", "/<wbr>")
    place = f"<a href='{_link(one, report)}' target=_blank>{shown}:{one.line}</a>"
    lesson = html.escape(one.lesson or "")
    cells = (
        (f"{one.file}:{one.line:06}", place),
        (one.kind, html.escape(one.kind)),
        (str(CONFIDENCES[::-1].index(one.confidence)), one.confidence),
        (one.message, what),
        (lesson, f"<span title='{lesson}'>{lesson.partition('_')[0]}</span>"),
    )
    return (
        "<tr>"
        + "".join(
            f"<td style='text-align:left' data-k=\"{html.escape(key)}\">{shown}</td>"
            for key, shown in cells
        )
        + "</tr>"
    )


def _link(one: Finding, report: Report) -> str:
    root = Path(report.root)
    path = (root if root.is_dir() else root.parent) / one.file
    try:
        near = quote(os.fsencode(Path(os.path.relpath(path)).as_posix()))
    except ValueError:  # another drive on Windows
        near = path.as_uri()
    return f"{near}#line={one.line - 1}"  # counted from 0 (RFC 5147), as JupyterLab's editor does
