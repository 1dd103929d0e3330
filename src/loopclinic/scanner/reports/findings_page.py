"""HTML page of findings: search, filter, call chains, totals, links to lessons."""

from collections.abc import Iterator, Mapping
from html import escape
from importlib import resources
from pathlib import Path

from loopclinic.conflicts import CONFLICTS, WEIGHTS
from loopclinic.drawing.document import breakable, document, headline
from loopclinic.scanner.file_facts import decoded
from loopclinic.scanner.finding import CONFIDENCES, Finding
from loopclinic.scanner.scan_report import Report, by_leaf, marked, totals, verdict
from loopclinic.scanner.suggested_edits import Patch, patches
from loopclinic.units import count, duration

_AROUND = 3  # lines of source before and after
_UNCHECKED = ("hint", "light")  # until asked for


def page(report: Report, lessons: Mapping[str, str] | None = None) -> str:
    """Return the page; `lessons` maps a lesson's name to the address of its notebook."""
    name = Path(report.root).name
    lessons = lessons or {}
    show = _Sources(report)
    sections = [
        f"<style>\n{_part('css')}</style>",
        f"<h1>Conflicts of sync and async in {escape(name)}</h1>",
        headline(verdict(report), bad=bool(report.findings)),
        f'<p class="lc-muted">{breakable(report.root)}</p>',
        f'<div class="two">{_kinds(report, lessons)}{_totals(report)}</div>',
        _filter(report),
    ]
    for kind, found in report.groups:
        articles = "\n".join(_leaf(one, show) for one in by_leaf(found))
        lesson = _lesson(found[0].lesson, lessons)
        treated = f" Lesson {lesson} treats it." if lesson else ""
        sections.append(
            f'<section><h2 id="{kind}">{kind} <span class="lc-muted">{len(found)}</span></h2>\n'
            f"<p>{escape(CONFLICTS[kind].sentence)}{treated}</p>\n"
            f"{articles}\n</section>"
        )
    return document(
        f"{name}: conflicts", [*sections, *_skipped(report), f"<script>\n{_part('js')}</script>"]
    )


def _part(suffix: str) -> str:
    """Return the page's style or script."""
    return resources.files(__package__).joinpath(f"findings_page.{suffix}").read_text("utf-8")


def _kinds(report: Report, lessons: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr><td><a href="#{kind}">{kind}</a></td><td class="lc-number">{len(found):,}</td>'
        f"<td>{_lesson(found[0].lesson, lessons)}</td></tr>"
        for kind, found in report.groups
    )
    return _table('<th>conflict</th><th class="lc-number">findings</th><th>lesson</th>', rows)


def _lesson(name: str | None, lessons: Mapping[str, str]) -> str:
    if not name:
        return ""
    words = escape(name.replace("_", " "))
    address = lessons.get(name)
    return f'<a href="{escape(address, quote=True)}">{words}</a>' if address else words


def _totals(report: Report) -> str:
    rows = "".join(
        f'<tr><td>{escape(words)}</td><td class="lc-number">{value:,}</td></tr>'
        for value, words in totals(report)
    )
    return _table('<th>read</th><th class="lc-number">number</th>', rows)


def _table(heads: str, rows: str) -> str:
    if not rows:
        return ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _filter(report: Report) -> str:
    if not report.findings:
        return ""
    boxes = "".join(
        f'<label><input type="checkbox"{" checked" * (name not in _UNCHECKED)} value="{name}"> {name}</label>'
        for names, there in (
            (CONFIDENCES, {one.confidence for one in report.findings}),
            (WEIGHTS, {one.weight for one in report.findings}),
        )
        for name in reversed(names)
        if name in there
    )
    kinds = "".join(f"<option>{kind}</option>" for kind, _ in report.groups)
    return (
        '<form role="search"><input type="search" name="search" aria-label="Search the findings" '
        'placeholder="Search: file, function, code, words">'
        '<select name="kind" aria-label="Conflict"><option value="">all conflicts</option>'
        f'{kinds}</select>{boxes}<output name="shown" class="lc-muted" aria-live="polite"></output></form>'
    )


class _Sources:
    """The lines around findings, and the edits suggested for them, from files read once each."""

    def __init__(self, report: Report) -> None:
        root = Path(report.root)
        self._folder = root if root.is_dir() else root.parent
        self._lines: dict[str, list[str]] = {}
        self.patches = patches(report, report.findings)

    def around(self, one: Finding) -> str:
        """Return a finding's line between its neighbors, marked, or its own line where the file is gone."""
        if one.file not in self._lines:
            try:
                data = (self._folder / one.file).read_bytes()
                self._lines[one.file] = decoded(data).split("\n")
            except (OSError, ValueError):
                self._lines[one.file] = []
        lines = self._lines[one.file]
        if one.line > len(lines) or lines[one.line - 1].strip() != one.source:
            return escape(one.source)
        first, last = max(1, one.line - _AROUND), min(len(lines), one.line + _AROUND)
        own = lines[first - 1 : last]
        inset = min((len(row) - len(row.lstrip()) for row in own if row.strip()), default=0)
        shown = []
        for number, row in enumerate(own, first):
            text = f"{number:>5}  {escape(row[inset:].rstrip())}"
            shown.append(f"<mark>{text}</mark>" if number == one.line else text + "\n")
        return "".join(shown)


def _leaf(found: list[Finding], show: _Sources) -> str:
    """Return the findings whose chains end at one call, under a line that names it."""
    articles = "\n".join(_article(one, show) for one in found)
    if len(found) == 1:
        return articles
    file, line, call = found[0].leaf
    return (
        f'<div class="leaf"><p>{len(found)} findings end at <code>{breakable(file)}:{line}</code> '
        f"<code>{escape(call)}</code>.</p>\n{articles}</div>"
    )


def _article(one: Finding, show: _Sources) -> str:
    chain = ""
    if one.through_calls:
        steps = "".join(
            f"<li><code>{breakable(frame.file)}:{frame.line}</code> {escape(frame.function)}"
            f" calls <code>{escape(frame.call)}</code></li>"
            for frame in one.chain
        )
        chain = f"<ol>{steps}</ol>"
    return (
        f'<article data-sure="{one.confidence}" data-weight="{one.weight}" data-kind="{one.kind}">'
        f"<code>{breakable(one.file)}:{one.line}:{one.column}</code> "
        f'<span class="{one.confidence}">{one.confidence}</span> {one.weight}'
        f"{_called(one)}<pre>{show.around(one)}</pre>{chain}<p>{marked(one.message)}</p>"
        f"{_instead(show.patches.get(one))}</article>"
    )


def _called(one: Finding) -> str:
    """Return what calls it, and what a run saw there."""
    words = [one.called_by] if one.called_by else []
    if one.seen > 0:
        words.append(f"seen {count(one.seen, 'time')}, {duration(one.seen_seconds)}")
    elif not one.seen:
        words.append("no stall seen")
    return "".join(f'<span class="called">{escape(word)}</span>' for word in words)


def _instead(patch: Patch | None) -> str:
    if patch is None:
        return ""
    return f"<p>Instead: <code>{escape(patch.text)}</code>{' (--fix writes it)' * patch.safe}</p>"


def _skipped(report: Report) -> Iterator[str]:
    if report.skipped:
        yield f'<h2>Skipped <span class="lc-muted">{len(report.skipped)}</span></h2>'
        for one in report.skipped:
            yield f"<p><code>{breakable(one.where)}</code> {escape(one.reason)}</p>"
