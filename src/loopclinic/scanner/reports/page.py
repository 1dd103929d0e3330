"""Findings on one HTML page that needs nothing else: filter, chains, totals."""

import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.findings import CONFIDENCES, Finding
from loopclinic.scanner.report import Report
from loopclinic.scanner.reports.totals import totals

__all__ = ["marked", "page"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #6b6b6b; --certain: #b3261e; --likely: #8a5a00; --hint: #1f618d; }
@media (prefers-color-scheme: dark) { :root { --dim: #a0a0a0; --certain: #ff8b7d; --likely: #f3b95f; --hint: #85c1e9; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 0; } p { margin: .2rem 0 .6rem; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { margin: .3rem 0; padding: .2rem .6rem; border-left: 3px solid var(--line); overflow-x: auto; }
ol { margin: .3rem 0; padding-left: 1.8rem; }
.totals { columns: 15rem; column-gap: 3rem; margin: 1rem 0; padding: .6rem 0; border: solid var(--line); border-width: 1px 0; }
.totals div { display: flex; justify-content: space-between; font-variant-numeric: tabular-nums; }
article { border-top: 1px solid var(--line); padding: .5rem 0; break-inside: avoid; }
.dim { color: var(--dim); } .certain { color: var(--certain); } .likely { color: var(--likely); } .hint { color: var(--hint); }
label { margin-right: 1rem; }
@media print { form { display: none; } }
"""

_SCRIPT = """
for (const box of document.querySelectorAll('input')) box.onchange = () => {
  for (const one of document.querySelectorAll(`article[data-sure=${box.value}]`)) one.hidden = !box.checked;
  for (const one of document.querySelectorAll('section')) one.hidden = !one.querySelector('article:not([hidden])');
};
"""


def page(report: Report) -> str:
    """Return the page."""
    name = html.escape(Path(report.root).name)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{name}: conflicts</title><style>{_STYLE}</style>",
        f"<h1>Conflicts of sync and async in {name}</h1>",
        f"<p class=dim>{html.escape(report.root)}</p>",
        *_totals((words, value, "") for value, words in totals(report)),
        *_totals((kind, count, kind) for kind, count in report.by_kind.items()),
        *_filter(report),
    ]
    for kind, found in report.groups:
        parts.append(f"<section><h2 id={kind}>{kind} <span class=dim>{len(found)}</span></h2>")
        parts.append(f"<p class=dim>{html.escape(CONFLICTS[kind].sentence)}</p>")
        parts += [_article(one) for one in found]
        parts.append("</section>")
    if not report.findings:
        parts.append("<p>No conflict found.</p>")
    parts += _skipped(report)
    parts.append(f"<script>{_SCRIPT}</script></html>")
    return "\n".join(parts)


def marked(message: str) -> str:
    """Return a message as HTML, with what stands in backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(message))


def _totals(rows: Iterable[tuple[str, int, str]]) -> Iterator[str]:
    found = list(rows)
    if found:
        yield "<div class=totals>"
        for words, value, target in found:
            shown = f"<a href='#{target}'>{words}</a>" if target else html.escape(words)
            yield f"<div><span>{shown}</span><span>{value:,}</span></div>"
        yield "</div>"


def _filter(report: Report) -> Iterator[str]:
    there = {one.confidence for one in report.findings}
    if len(there) > 1:
        yield "<form>"
        for sure in reversed(CONFIDENCES):
            if sure in there:
                yield f"<label><input type=checkbox checked value={sure}> {sure}</label>"
        yield "</form>"


def _article(one: Finding) -> str:
    lesson = f" · lesson {html.escape(one.lesson)}" if one.lesson else ""
    chain = ""
    if one.through_calls:
        steps = "".join(
            f"<li><code>{html.escape(frame.file)}:{frame.line}</code> {html.escape(frame.function)}"
            f" calls <code>{html.escape(frame.call)}</code>"
            for frame in one.chain
        )
        chain = f"<ol>{steps}</ol>"
    return (
        f"<article data-sure={one.confidence}><code>{html.escape(one.file)}:{one.line}:{one.column}</code> "
        f"<span class={one.confidence}>{one.confidence}</span><span class=dim>{lesson}</span>"
        f"<pre>{html.escape(one.source)}</pre>{chain}{marked(one.message)}</article>"
    )


def _skipped(report: Report) -> Iterator[str]:
    if report.skipped:
        yield f"<h2>skipped <span class=dim>{len(report.skipped)}</span></h2>"
        for one in report.skipped:
            yield f"<p><code>{html.escape(one.where)}</code> {html.escape(one.reason)}</p>"
