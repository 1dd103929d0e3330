"""Design review as one HTML page, readable without scripts, network or screen."""

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from loopclinic.drawing.document import breakable, document, facts, headline, notes
from loopclinic.drawing.tables import Drawing
from loopclinic.load.comparison_views import figure_table
from loopclinic.load.conclusion import listed, worse
from loopclinic.runner.program_page import place_section, place_table
from loopclinic.runner.wording import lesson_of
from loopclinic.units import duration

if TYPE_CHECKING:
    from loopclinic.design.review import DesignReview
    from loopclinic.design.scanner_evidence import Evidence

_TOLD = 3  # places a variant that get a section with their stack
_FINDINGS = 40

RIGHTS = (
    "The variants were run as ordinary processes, with the rights of whoever ran them. Scanning read "
    "their files and ran nothing."
)


def design_page(review: "DesignReview", title: str = "") -> str:
    """Return the page."""
    title = title or listed(review.variants)
    sections = [
        f"<h1>{escape(title)}</h1>",
        headline(review.headline, bad=worse(review)),
        f"<figure>{review.plot().html}</figure>",
        facts(how(review)),
        _command(review.command),
        *notes(review.warnings),
        "<h2>Figures</h2>",
        f'<div class="lc-wide">{figure_table(review).html}</div>',
        "<h2>Every request</h2>",
        *(_figure(review.plot("latency", group=group)) for group in (None, *review.groups)),
        "<h2>Lag over time</h2>" if _watched(review) else "",
        _figure(review.plot("lag")) if _watched(review) else "",
        "<h2>Lines that stalled a loop</h2>",
        *_stalls(review),
        "<h2>What the scanner finds in the code</h2>",
        *_findings(review),
        "<h2>What was compared</h2>",
        *_subjects(review),
        _WORDS,
    ]
    return document(f"{title}: compared under load", sections)


def _command(line: str) -> str:
    # Nowhere but between words: a browser would break `--rate` after its first hyphen.
    words = " ".join(f"<span>{escape(word)}</span>" for word in line.split(" "))
    return f'<p>To repeat it:</p>\n<pre class="lc-command"><code>{words}</code></pre>'


def how(review: "DesignReview") -> dict[str, str]:
    """Return how it was measured, by term."""
    rounds = len(review.rounds[0])
    return {
        "compared": "; ".join(
            f"{one.name}, {served} ({one.where})"
            for one, served in zip(review.subjects, review.served, strict=True)
        ),
        "load": f"{review.load}, {_endpoint(review)}sent from a process of its own",
        "rounds": f"{rounds}, interleaved, after {duration(review.warmup)} of warm-up; "
        "each variant in a process of its own, the same arrivals for all",
        "run on": str(review.circumstances),
    }


def _endpoint(review: "DesignReview") -> str:
    load = review.load
    by_path = any("application" in one or "command" in one for one in review.served)
    return f"{load.method} {load.path}, " if by_path or load.path != "/" else ""


def _watched(review: "DesignReview") -> bool:
    return any(run.lag_series for runs in review.rounds for run in runs)


def _figure(drawn: Drawing) -> str:
    return f"<figure>{drawn.html}<figcaption>{escape(drawn.text)}</figcaption></figure>"


def _stalls(review: "DesignReview") -> Iterator[str]:
    free = []
    for number, name in enumerate(review.variants, start=1):
        places = review.places(name)
        if not places:
            free.append(name)
            continue
        yield f"<h3>{escape(name)}</h3>"
        prefix = f"place-{number}"
        yield place_table(places, prefix, _TOLD)
        for index, place in enumerate(places[:_TOLD], start=1):
            yield place_section(index, place, prefix, level=4)
    if free:
        watched = all(review.median("lag_max", name) >= 0 for name in free)
        known = "No stall over 50 ms in" if watched else "No stall is known of"
        yield f"<p>{known} {escape(' and '.join(free))}.</p>"


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
        yield f'<p class="lc-muted">And {len(sure) - _FINDINGS} more, in the JSON.</p>'
    if hints:
        many = f"{hints} hint{'s' * (hints != 1)}"
        yield f'<p class="lc-muted">And {many}, in the JSON: <code>loopclinic scan</code> shows them.</p>'


def _finding(review: "DesignReview", one: "Evidence") -> str:
    found = one.finding
    whose = "" if len(review.variants) == 1 else f", in {' and '.join(one.variants)}"
    sure = f'<span class="lc-muted">{escape(found.confidence)}{escape(whose)}</span>'
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
    if (lesson := lesson_of(found.kind)) is not None:
        parts.append(f"<p>Lesson {lesson[0]}, <i>{escape(lesson[1])}</i>, treats it.</p>")
    return "\n".join([*parts, "</section>"])


def _subjects(review: "DesignReview") -> Iterator[str]:
    for one, served in zip(review.subjects, review.served, strict=True):
        code = f"<pre><code>{escape(one.code)}</code></pre>" if one.code else ""
        yield (
            f"<h3>{escape(one.name)}</h3>\n"
            f'<p class="lc-muted">{escape(served)}, {breakable(one.where)}</p>\n{code}'
        )
    yield f'<p class="lc-muted">{escape(RIGHTS)}</p>'


_WORDS = """\
<section class="words"><h2>Words</h2>
<p><b>Latency</b> counts from the moment a request was due, whether or not earlier ones were
answered: a stuck server is charged for what waits in its queue. <b>Lag</b>: how late the
loop is for an event that becomes ready at a random moment. <b>Stall</b>: one iteration of the
loop that was busier than 50 ms; nothing else on that loop ran meanwhile. <b>Loop busy</b>: the
busy share of the loop's time.</p>
</section>"""
