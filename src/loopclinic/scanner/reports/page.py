"""Findings on one HTML page that needs nothing else: filter, chains, totals."""

import html
from collections.abc import Iterator

from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.findings import Finding
from loopclinic.scanner.report import Report

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #777; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .2rem; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { margin: .3rem 0; padding: .4rem .6rem; border-left: 3px solid var(--line); overflow-x: auto; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
article { border-top: 1px solid var(--line); padding: .6rem 0; }
.dim { color: var(--dim); } .certain { color: #c0392b; } .likely { color: #b9770e; } .hint { color: #2874a6; }
label { margin-right: 1rem; }
@media (prefers-color-scheme: dark) { .certain { color: #ff8b7d; } .likely { color: #f3b95f; } .hint { color: #85c1e9; } }
"""

_SCRIPT = """
for (const box of document.querySelectorAll('input')) box.onchange = () => {
  for (const one of document.querySelectorAll('article.' + box.value + '-row')) one.hidden = !box.checked;
};
"""


def page(report: Report) -> str:
    """Return the page."""
    groups: dict[str, list[Finding]] = {}
    for one in report.findings:
        groups.setdefault(one.kind, []).append(one)
    ordered = sorted(groups.items(), key=lambda item: CONFLICTS[item[0]].rank)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{html.escape(report.root)}: conflicts</title><style>{_STYLE}</style>",
        f"<h1>Conflicts of sync and async in {html.escape(report.root)}</h1>",
        *_totals(report),
        "<p>",
        *(
            f"<label><input type=checkbox checked value={one}> {one}</label>"
            for one in ("certain", "likely", "hint")
        ),
        "</p>",
    ]
    for kind, found in ordered:
        parts.append(f"<h2 id={kind}>{kind} <span class=dim>{len(found)}</span></h2>")
        parts.append(f"<p class=dim>{html.escape(CONFLICTS[kind].sentence)}</p>")
        parts += [_article(one) for one in found]
    parts += _skipped(report)
    parts.append(f"<script>{_SCRIPT}</script></html>")
    return "\n".join(parts)


def _totals(report: Report) -> Iterator[str]:
    yield "<table>"
    for key, value in report.counts.items():
        yield f"<tr><td>{html.escape(key.replace('_', ' '))}<td class=n>{value:,}"
    for kind, count in report.by_kind.items():
        yield f"<tr><td><a href='#{kind}'>{kind}</a><td class=n>{count:,}"
    yield "</table>"


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
        f"<article class={one.confidence}-row><code>{html.escape(one.file)}:{one.line}:{one.column}</code> "
        f"<span class={one.confidence}>{one.confidence}</span><span class=dim>{lesson}</span>"
        f"<pre>{html.escape(one.source)}</pre>{chain}{html.escape(one.message)}</article>"
    )


def _skipped(report: Report) -> Iterator[str]:
    if report.skipped:
        yield f"<h2>skipped <span class=dim>{len(report.skipped)}</span></h2><table>"
        for one in report.skipped:
            at = f":{one.line}" if one.line else ""
            yield f"<tr><td><code>{html.escape(one.file)}{at}</code><td>{html.escape(one.reason)}"
        yield "</table>"
