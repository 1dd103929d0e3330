"""Report of a watched program as one HTML page, without scripts or network, also for print."""

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from loopclinic.drawing.document import breakable, document, facts, headline, notes
from loopclinic.drawing.lag_strip import lag_strip
from loopclinic.probe import user_code
from loopclinic.runner import wording
from loopclinic.runner.program_record import Loop, Place
from loopclinic.scanner.scan_report import Report, steps_of
from loopclinic.scanner.seen import sentences
from loopclinic.units import count, duration

if TYPE_CHECKING:
    from loopclinic.runner.program_report import Review

_PLACES = 30
_LOOPS = 12
_FRAMES = 25


def page(review: "Review") -> str:
    """Return the page of one watched program."""
    sections = [
        f"<h1>{escape(review.target)}</h1>",
        headline(review.headline, bad=bool(review.places)),
        facts(
            {
                "ending": f"{review.ending}, after {duration(review.seconds)}",
                "stall": f"one iteration of a loop that is busy for over {duration(review.threshold)}",
                "run on": f"{review.python}, {review.machine}, {review.finished}",
                "to repeat it": review.command,
            }
        ),
        *notes(review.notes),
        "<h2>Lines that stalled</h2>" if review.places else "",
        place_table(review.places),
        *_scan(review.scan),
        *_loops(review),
        *map(place_section, itertools.count(1), review.places[:_PLACES]),
        _WORDS,
    ]
    return document(f"{review.target}: its event loops", sections)


def _scan(report: Report | None) -> list[str]:
    """Return the findings of the scan, those that stalled the run first, and the chain of each of them."""
    if report is None:
        return []
    rows = "".join(
        f"<tr><td>{breakable(one.file)}:{one.line}</td><td><code>{escape(one.source)}</code></td>"
        f'<td class="lc-number">{one.seen}</td><td class="lc-number">{duration(one.seen_seconds)}</td>'
        f"<td>{escape(one.kind)}</td><td>{'<br>'.join(map(escape, map(str.strip, steps_of(one))))}</td></tr>"
        for one in report.findings
        if one.seen > 0
    )
    heads = ("line", "code", "#times", "#in all", "conflict", "calls")
    hurt = sum(one.seen > 0 for one in report.findings)
    quiet = [f'<p class="lc-muted">{escape(one)}</p>' for one in [*sentences(report)][hurt:]]
    head = "<h2>Findings of the scan that stalled it</h2>"
    return [head, _table(rows, heads) * bool(rows), *quiet]


def place_table(places: Sequence[Place], prefix: str = "place", most: int = _PLACES) -> str:
    """Return the lines that stalled, costliest first and `most` of them, with links to their sections."""
    if not places:
        return ""
    rows = []
    for number, place in enumerate(places[:most], start=1):
        held = " (GIL held)" if place.worst["gil_held"] else ""
        rows.append(
            f'<tr><td><a href="#{prefix}-{number}">{breakable(wording.where(place))}</a></td>'
            f"<td><code>{escape(place.code)}</code></td>"
            f'<td class="lc-number">{len(place.stalls)}</td>'
            f'<td class="lc-number">{duration(place.seconds)}</td>'
            f'<td class="lc-number">{duration(place.worst["seconds"])}</td>'
            f"<td>{escape((place.conflict or '') + held)}</td></tr>"
        )
    more = count(len(places) - most, "more place")
    rest = f'<p class="lc-muted">And {more}, in the JSON.</p>' if len(places) > most else ""
    heads = ("line", "code", "#times", "#in all", "#worst", "looks like")
    return _table("".join(rows), heads) + rest


def _table(rows: str, heads: Sequence[str] = (), caption: str = "") -> str:
    """Return a table of these rows; heads that begin with # are of numbers."""
    head = "".join(
        f'<th class="lc-number">{one[1:]}</th>' if one[0] == "#" else f"<th>{one}</th>"
        for one in heads
    )
    top = f"<caption>{escape(caption)}</caption>" * bool(caption)
    top += f"<thead><tr>{head}</tr></thead>" * bool(head)
    return f'<div class="lc-wide"><table>{top}<tbody>{rows}</tbody></table></div>'


def _loops(review: "Review") -> list[str]:
    chosen = sorted(review.loops, key=lambda loop: loop.cost, reverse=True)[:_LOOPS]
    if not chosen:
        return []
    chosen.sort(key=lambda one: one.number)
    sections = ["<h2>Lag over time</h2>", *(_loop(one, review.threshold) for one in chosen)]
    more = len(review.loops) + review.more_loops - len(chosen)
    if more:
        sections.append(f'<p class="lc-muted">And {more} more loops.</p>')
    return sections


def _loop(loop: Loop, threshold: float) -> str:
    kind = loop.kind.rpartition(".")[2]
    caption = f"Loop {loop.number}, {kind} in {wording.whose(loop)}: {wording.figures(loop)}"
    caption += "".join(f"; {sentence}" for sentence in wording.queues(loop))
    if callbacks := wording.slow(loop):
        caption += f"; slowest callbacks: {callbacks}"
    picture = ""
    if loop.unwatched is None:
        picture = lag_strip(
            loop.series.points,
            loop.stalls,
            span=(loop.began, loop.began + float(loop.report.get("seconds", 0.0))),
            title=f"Lag of loop {loop.number}",
            threshold=threshold,
        )
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def place_section(number: int, place: Place, prefix: str = "place", level: int = 2) -> str:
    """Return all that is known of one line: how long, why, the stack, the lesson."""
    worst = place.worst
    told = f"{count(len(place.stalls), 'stall')}, {duration(place.seconds)} in all, the worst {duration(worst['seconds'])}."
    if worst.get("unfinished"):
        told += " It was stuck there at the end."
    if worst["gil_held"]:
        told += " The call kept the GIL: no thread of the program could run meanwhile."
    parts = [
        f'<section id="{prefix}-{number}"><h{level}>{escape(wording.where(place))}</h{level}>',
        f"<pre><code>{escape(place.code)}</code></pre>" if place.code else "",
        f"<p>{told}</p>",
        *_treatment(place),
        _shares(place),
        _waiting(worst),
        _stack(worst),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _treatment(place: Place) -> list[str]:
    parts = []
    sentence, lesson = wording.diagnosis(place), wording.lesson_of(place.conflict)
    if sentence:
        name = f"<b>{escape(place.conflict)}</b>: " if place.conflict else ""
        parts.append(f"<p>{name}{escape(sentence)}</p>")
    if lesson is not None:
        number, title = lesson
        parts.append(
            f"<p>Lesson {number}, <i>{escape(title)}</i>, treats it: "
            f"<code>loopclinic demo {number}</code> shows the cure.</p>"
        )
    return parts


def _shares(place: Place) -> str:
    """Return where the time of these stalls went, as bars: by line, and by callback where there are more."""
    lines = [
        (f"{wording.shown(one['file'])}:{one['line']}", one["function"], one["code"], one)
        for one in place.lines[:_FRAMES]
    ]
    handlers = place.worst.get("handlers", ())[:_FRAMES]
    callbacks = [(one["name"], one["task"] or "", "", one) for one in handlers]
    tables = {
        "Where their time went, by line": lines,
        "Which callback of the worst took it": callbacks,
    }
    return "".join(_bars(caption, rows) for caption, rows in tables.items() if len(rows) > 1)


def _bars(caption: str, rows: Sequence[tuple[str, str, str, Mapping[str, Any]]]) -> str:
    cells = "".join(
        f'<tr><td class="lc-bar"><i style="width:{100 * one["share"]:.0f}%"></i>'
        f"{duration(one['seconds'])}, {one['share']:.0%}</td><td>{breakable(name)}</td>"
        f"<td>{escape(within)}</td><td><code>{escape(code)}</code></td></tr>"
        for name, within, code, one in rows
    )
    return _table(cells, caption=caption)


def _waiting(stall: Mapping[str, Any]) -> str:
    """Return which tasks the worst stall kept waiting, those that await the same in one row."""
    waiting = stall.get("waiting") or {}
    rows = "".join(
        f'<tr><td class="lc-number">{one["count"]}</td><td>{"ready" if one["ready"] else "suspended"}</td>'
        f"<td>{breakable(' > '.join(one['chain']))}</td></tr>"
        for one in waiting.get("groups", ())
    )
    if not rows:
        return ""
    table = _table(rows, caption="Tasks by what they await, the outermost first")
    return f"<p>During the worst, {escape(stall['waited'])}</p>{table}"


def _stack(stall: Mapping[str, Any]) -> str:
    rows = []
    for frame in _from_the_loop_on(stall["stack"])[-_FRAMES:]:
        blamed = frame["file"] == stall["file"] and frame["line"] == stall["line"]
        place = f"{wording.shown(frame['file'])}:{frame['line']}"
        rows.append(
            f"<tr{' class=lc-blamed' if blamed else ''}><td>{breakable(place)}</td>"
            f"<td>{escape(frame['function'])}</td><td><code>{escape(frame['code'])}</code></td></tr>"
        )
    if not rows:
        return ""
    task = f", in task {stall['task']}" if stall.get("task") else ""
    return _table("".join(rows), caption=f"The stack during the worst{task}, the caller first")


def _from_the_loop_on(frames: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Leave out how the loop was started, and which libraries led to the reader's own code."""
    begin = 0
    for index, frame in enumerate(frames, start=1):
        if frame["function"] == "_run" and "asyncio" in frame["file"]:
            begin = index
    own = (i for i in range(begin, len(frames)) if user_code(frames[i]["file"]))
    return frames[next(own, begin) :]


_WORDS = """\
<section><h2>Words</h2>
<p><b>Lag</b>: how late the loop is for an event that becomes ready at a random moment; its percentiles
are weighted by time. <b>Stall</b>: one iteration of the loop that was busier than the threshold;
nothing else on that loop ran meanwhile. <b>Utilization</b>: the busy share of the loop's time.</p>
</section>"""
