"""A design review as one self-contained page: readable without a script, a network, or a screen."""

import re
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from loopclinic.load.difference import RULE
from loopclinic.load.figures import FIGURES, figures_of
from loopclinic.load.table import ratio_words, spread_words
from loopclinic.review.conclusion import worse
from loopclinic.review.page import (
    breakable,
    document,
    facts,
    place_section,
    place_table,
)
from loopclinic.review.wording import lesson_of
from loopclinic.units import duration

if TYPE_CHECKING:
    from loopclinic.load.plots import Picture
    from loopclinic.review.design import DesignReview
    from loopclinic.review.evidence import Evidence

__all__ = ["RIGHTS", "design_page", "how"]

_TOLD = 3  # places a variant that get a section with their stack
_FINDINGS = 40
_GROUPED = ("p50", "p95", "p99", "max")

RIGHTS = (
    "The variants were run as ordinary processes, with the rights of whoever ran them. Scanning read "
    "their files and ran nothing."
)


def design_page(review: "DesignReview", title: str = "") -> str:
    """Return the page."""
    title = title or " and ".join(review.variants)
    tone = "bad" if worse(review) else "good"
    sections = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="headline {tone}">{escape(review.headline)}</p>',
        facts(how(review)),
        _command(review.command),
        *(f'<p class="note">Note: {escape(one)}</p>' for one in review.warnings),
        "<h2>Figures</h2>",
        _figures(review),
        *(_picture(one) for one in _plots(review)),
        "<h2>Lines that stalled a loop</h2>",
        *_stalls(review),
        "<h2>What the scanner finds in the code</h2>",
        *_findings(review),
        "<h2>What was compared</h2>",
        *_subjects(review),
        _words(),
    ]
    return document(f"{title}: compared under load", sections)


def _command(line: str) -> str:
    # Nowhere but between words: a browser would break `--rate` after its first hyphen.
    words = " ".join(f"<span>{escape(word)}</span>" for word in line.split(" "))
    return f'<p>To repeat it:</p>\n<pre class="command"><code>{words}</code></pre>'


def how(review: "DesignReview") -> dict[str, str]:
    """Return how it was measured, by term."""
    rounds = len(review.rounds[0])
    return {
        "compared": "; ".join(
            f"{one.name}, {served} ({one.where})"
            for one, served in zip(review.subjects, review.served, strict=True)
        ),
        "load": f"{review.load}, {_door(review)}sent from a process of its own",
        "rounds": f"{rounds}, interleaved, after {duration(review.warmup)} of warm-up; "
        "each variant in a process of its own, the same arrivals for all",
        "run on": str(review.circumstances),
    }


def _door(review: "DesignReview") -> str:
    load = review.load
    if load.path == "/" and not any(
        "application" in one or "command" in one for one in review.served
    ):
        return ""
    return f"{load.method} {load.path}, "


def _figures(review: "DesignReview") -> str:
    first, *others = review.variants
    ratios = ["ratio"] if len(others) == 1 else [f"{name} to {first}" for name in others]
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in (*review.variants, *ratios))
    rows = []
    for figure in figures_of(review.load.jobs is not None):
        cells = []
        for name in review.variants:
            words = escape(figure.show(review.median(figure.name, name)))
            spread = spread_words(review, figure, name)
            if spread:
                words += f"<small>{escape(spread)}</small>"
            cells.append(f"<td>{words}</td>")
        for name in others:
            ratio = review.ratio(figure.name, name, first)
            kind = "apart" if ratio.found else "faint"
            cells.append(f'<td class="{kind}">{escape(ratio_words(ratio))}</td>')
        rows.append(f'<tr><th scope="row">{escape(figure.title)}</th>{"".join(cells)}</tr>')
        if figure.name in _GROUPED:
            rows += [_group(review, figure.name, group) for group in review.groups]
    return (
        f'<div class="wide"><table class="figures"><thead><tr><th></th>{heads}</tr></thead>\n'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
        f'<p class="note">Medians of the rounds, smallest to largest below. '
        f"{escape(RULE)}</p>"
    )


def _group(review: "DesignReview", figure: str, group: str) -> str:
    show = FIGURES[figure].show
    cells = "".join(
        f'<td class="faint">{escape(show(review.median(figure, name, group=group)))}</td>'
        for name in review.variants
    )
    cells += "<td></td>" * (len(review.variants) - 1)
    return f'<tr><th scope="row" class="group faint">{escape(group)}</th>{cells}</tr>'


def _plots(review: "DesignReview") -> Iterator["Picture"]:
    yield review.plot()
    for group in review.groups:
        yield review.plot(group=group)
    if any(run.lag_series for runs in review.rounds for run in runs):
        yield review.plot("lag")


def _picture(plot: "Picture") -> str:
    """Return a plot in the page's own inks, without the addresses that SVG files begin with."""
    svg = plot.to_svg()
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r"<(metadata|title)>.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg\b[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg)
    used = set(re.findall(r"#([\w.-]+)", svg))  # the others are the same in every plot
    svg = re.sub(r'\sid="([^"]*)"', lambda one: one[0] if one[1] in used else "", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", svg)
    svg = svg.replace("*{", "figure svg *{")  # its own style must not reach beyond it
    for color, ink in _INKS.items():
        svg = re.sub(color, ink, svg, flags=re.IGNORECASE)
    label = escape(plot.alt, quote=True)
    svg = svg.replace('role="img"', f'role="img" aria-label="{label}"', 1)
    return f"<figure>{svg}<figcaption>{escape(plot.alt)}</figcaption></figure>"


_INKS = {"#7c7c7c": "var(--faint)", "#4fa3d9": "var(--lag)", "#d55e00": "var(--stall)"}


def _stalls(review: "DesignReview") -> Iterator[str]:
    free = []
    for number, name in enumerate(review.variants, start=1):
        places = review.places(name)
        if not places:
            free.append(name)
            continue
        yield f"<h3>{escape(name)}</h3>"
        prefix = f"place-{number}"
        yield place_table(places[:_TOLD], prefix) + _more(places[_TOLD:])
        for index, place in enumerate(places[:_TOLD], start=1):
            yield place_section(index, place, prefix, level=4)
    if free:
        said = " and ".join(free)
        watched = [name for name in free if review.median("lag_max", name) >= 0]
        if len(watched) == len(free):
            yield f"<p>No stall over 50 ms in {escape(said)}.</p>"
        else:
            yield f"<p>No stall is known of {escape(said)}.</p>"


def _more(places: tuple[object, ...]) -> str:
    if not places:
        return ""
    return f'<p class="note">And {len(places)} more places, in the JSON.</p>'


def _findings(review: "DesignReview") -> Iterator[str]:
    sure = [one for one in review.evidence if one.finding.confidence != "hint"]
    hints = len(review.evidence) - len(sure)
    if not any(one.files for one in review.subjects):
        yield "<p>No variant stands in a file that could be scanned.</p>"
        return
    if not sure:
        yield "<p>No conflict of sync and async.</p>"
    yield from (_finding(review, one) for one in sure[:_FINDINGS])
    if len(sure) > _FINDINGS:
        yield f'<p class="note">And {len(sure) - _FINDINGS} more, in the JSON.</p>'
    if hints:
        many = f"{hints} hint{'s' * (hints != 1)}"
        yield f'<p class="note">And {many}, in the JSON: <code>loopclinic scan</code> shows them.</p>'


def _finding(review: "DesignReview", one: "Evidence") -> str:
    found = one.finding
    whose = "" if len(review.variants) == 1 else f", in {' and '.join(one.variants)}"
    sure = f'<span class="faint">{escape(found.confidence)}{escape(whose)}</span>'
    parts = [
        f'<section class="finding"><h3>{breakable(found.file)}:{found.line} {sure}</h3>',
        f"<pre><code>{escape(found.source)}</code></pre>",
    ]
    if found.through_calls:
        steps = "".join(
            f"<li>{breakable(frame.file)}:{frame.line}, <code>{escape(frame.function)}</code>"
            + (f" calls <code>{escape(frame.call)}</code>" if frame.call else "")
            + "</li>"
            for frame in found.chain
        )
        parts.append(f'<ol class="chain">{steps}</ol>')
    parts.append(f"<p><b>{found.kind}</b>: {escape(found.message)}</p>")
    parts += _lesson(found.kind)
    return "\n".join([*parts, "</section>"])


def _lesson(kind: str) -> list[str]:
    lesson = lesson_of(kind)
    if lesson is None:
        return []
    number, title = lesson
    return [f"<p>Lesson {number}, <i>{escape(title)}</i>, treats it.</p>"]


def _subjects(review: "DesignReview") -> Iterator[str]:
    for one, served in zip(review.subjects, review.served, strict=True):
        code = f"<pre><code>{escape(one.code)}</code></pre>" if one.code else ""
        yield (
            f"<h3>{escape(one.name)}</h3>\n"
            f'<p class="note">{escape(served)}, {breakable(one.where)}</p>\n{code}'
        )
    yield f'<p class="note">{escape(RIGHTS)}</p>'


def _words() -> str:
    return (
        '<section class="words"><h2>Words</h2>\n'
        "<p><b>Latency</b> counts from the moment a request was due, whether or not earlier ones were "
        "answered: a stuck server is charged for what waits before its door. <b>Lag</b>: how late the "
        "loop is for an event that becomes ready at a random moment. <b>Stall</b>: one iteration of the "
        "loop that was busier than 50 ms; nothing else on that loop ran meanwhile. <b>Loop busy</b>: the "
        "busy share of the loop's time.</p>\n</section>"
    )
