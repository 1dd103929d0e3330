"""One self-contained page for a review: no script, no address outside itself, readable in print."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from loopclinic.probe import user_code
from loopclinic.review.drawing import lag_strip
from loopclinic.review.recording import Loop, Place
from loopclinic.review.style import STYLE
from loopclinic.review.wording import diagnosis, figures, lesson_of, shown, slow, where
from loopclinic.units import duration

if TYPE_CHECKING:
    from loopclinic.review.review import Review

__all__ = ["breakable", "document", "facts", "page", "place_section", "place_table"]

_PLACES = 30
_LOOPS = 12
_FRAMES = 25


def page(review: "Review") -> str:
    """Return the page of one watched program."""
    sections = [
        f"<h1>{escape(review.target)}</h1>",
        f'<p class="headline {"bad" if review.places else "good"}">{escape(review.headline)}</p>',
        facts(
            {
                "ending": f"{review.ending}, after {duration(review.seconds)}",
                "stall": f"one iteration of a loop that is busy for over {duration(review.threshold)}",
                "run on": f"{review.python}, {review.machine}, {review.finished}",
                "to repeat it": review.command,
            }
        ),
        *(f'<p class="note">Note: {escape(note)}</p>' for note in review.notes),
        "<h2>Lines that stalled</h2>" if review.places else "",
        place_table(review.places),
        *_loops(review),
        *(
            place_section(number, one)
            for number, one in enumerate(review.places[:_PLACES], start=1)
        ),
        _WORDS,
    ]
    return document(f"{review.target}: its event loops", sections)


def document(title: str, sections: Iterable[str]) -> str:
    """Return a whole document of the house's style around `sections` of HTML."""
    body = "\n".join(section for section in sections if section)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n"
        "</body>\n</html>\n"
    )


def facts(known: Mapping[str, str]) -> str:
    """Return what is known as a list of terms, in plain words."""
    rows = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in known.items()
    )
    return f"<dl>{rows}</dl>"


def place_table(places: Sequence[Place], prefix: str = "place") -> str:
    """Return the lines that stalled, costliest first, with links to their sections."""
    if not places:
        return ""
    rows = []
    for number, place in enumerate(places[:_PLACES], start=1):
        held = " (GIL held)" if place.worst["gil_held"] else ""
        rows.append(
            f'<tr><td><a href="#{prefix}-{number}">{breakable(where(place))}</a></td>'
            f"<td><code>{escape(place.code)}</code></td>"
            f'<td class="number">{len(place.stalls)}</td>'
            f'<td class="number">{duration(place.seconds)}</td>'
            f'<td class="number">{duration(place.worst["seconds"])}</td>'
            f"<td>{escape((place.conflict or '') + held)}</td></tr>"
        )
    more = len(places) - _PLACES
    rest = f'<p class="note">And {more} more places, in the JSON.</p>' if more > 0 else ""
    return (
        "<div class='wide'><table><thead><tr><th>line</th><th>code</th>"
        '<th class="number">times</th><th class="number">in all</th><th class="number">worst</th>'
        f"<th>looks like</th></tr></thead>\n<tbody>{''.join(rows)}</tbody></table></div>{rest}"
    )


def _loops(review: "Review") -> list[str]:
    chosen = sorted(review.loops, key=lambda loop: loop.cost, reverse=True)[:_LOOPS]
    if not chosen:
        return []
    sections = ["<h2>Lag over time</h2>"]
    for loop in sorted(chosen, key=lambda one: one.number):
        sections += [_loop(loop, review.threshold)]
    more = len(review.loops) + review.more_loops - len(chosen)
    if more:
        sections.append(f'<p class="note">And {more} more loops.</p>')
    return sections


def _loop(loop: Loop, threshold: float) -> str:
    kind = loop.kind.rpartition(".")[2]
    caption = f"Loop {loop.number}, {kind} in {loop.thread}: {figures(loop)}"
    if callbacks := slow(loop):
        caption += f"; slowest callbacks: {callbacks}"
    picture = lag_strip(loop, threshold=threshold) if loop.unwatched is None else ""
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def place_section(number: int, place: Place, prefix: str = "place", level: int = 2) -> str:
    """Return all that is known of one line: how long, why, the stack, the lesson."""
    worst = place.worst
    times = f"{len(place.stalls)} stalls" if len(place.stalls) > 1 else "1 stall"
    told = f"{times}, {duration(place.seconds)} in all, the worst {duration(worst['seconds'])}."
    if worst.get("unfinished"):
        told += " It was stuck there when the program ended."
    if worst["gil_held"]:
        told += " The call kept the GIL: no thread of the program could run meanwhile."
    parts = [
        f'<section id="{prefix}-{number}"><h{level}>{escape(where(place))}</h{level}>',
        f"<pre><code>{escape(place.code)}</code></pre>" if place.code else "",
        f"<p>{told}</p>",
        *_treatment(place),
        _stack(worst),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _treatment(place: Place) -> list[str]:
    parts = []
    sentence, lesson = diagnosis(place), lesson_of(place.conflict)
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


def _stack(stall: Mapping[str, Any]) -> str:
    rows = []
    for frame in _from_the_loop_on(stall["stack"])[-_FRAMES:]:
        blamed = frame["file"] == stall["file"] and frame["line"] == stall["line"]
        place = f"{shown(frame['file'])}:{frame['line']}"
        rows.append(
            f"<tr{' class=blamed' if blamed else ''}><td>{breakable(place)}</td>"
            f"<td>{escape(frame['function'])}</td><td><code>{escape(frame['code'])}</code></td></tr>"
        )
    if not rows:
        return ""
    task = f", in task {stall['task']}" if stall.get("task") else ""
    return (
        f'<div class="wide"><table class="stack"><caption>The stack during the worst{escape(task)}, the caller first'
        f"</caption><tbody>{''.join(rows)}</tbody></table></div>"
    )


def breakable(path: str) -> str:
    """Return a path as HTML that may be broken after a slash, and nowhere else."""
    return escape(path).replace("/", "/<wbr>")


def _from_the_loop_on(frames: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Leave out how the loop was started, and which libraries led to the reader's own code."""
    begin = 0
    for index in range(len(frames) - 1, -1, -1):
        if frames[index]["function"] == "_run" and "asyncio" in frames[index]["file"]:
            begin = index + 1
            break
    own = (i for i in range(begin, len(frames)) if user_code(frames[i]["file"]))
    return frames[next(own, begin) :]


_WORDS = """\
<section class="words"><h2>Words</h2>
<p><b>Lag</b>: how late the loop is for an event that becomes ready at a random moment; its percentiles
are weighted by time. <b>Stall</b>: one iteration of the loop that was busier than the threshold;
nothing else on that loop ran meanwhile. <b>Utilization</b>: the busy share of the loop's time.</p>
</section>"""
