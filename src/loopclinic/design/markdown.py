"""Design review as Markdown, for a pull request."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from loopclinic.design.review_page import RIGHTS, how
from loopclinic.load.comparison_views import caption, heads, rows
from loopclinic.runner.wording import diagnosis, lesson_of, where
from loopclinic.units import count, duration

if TYPE_CHECKING:
    from loopclinic.design.review import DesignReview

_PLACES = 3
_FINDINGS = 10


def markdown(review: "DesignReview") -> str:
    """Return the review: the sentence, the table, the lines, the findings, how to repeat it."""
    lines = [
        f"### {_plain(' and '.join(review.variants))}, compared under load",
        "",
        f"**{_plain(review.headline)}**",
        "",
        *(f"> {_plain(one)}\n" for one in review.warnings),
        *_table(review),
        "",
        *_stalls(review),
        *_findings(review),
        "<details><summary>How it was measured</summary>",
        "",
        *(f"- {term}: {_code(text)}" for term, text in how(review).items()),
        f"- to repeat it: {_code(review.command)}",
        f"- {RIGHTS}",
        "",
        "</details>",
    ]
    return "\n".join(lines) + "\n"


def _table(review: "DesignReview") -> Iterator[str]:
    names = heads(review)
    yield f"| {' | '.join(map(_plain, names))} |"
    yield "| --- |" + " ---: |" * (len(names) - 1)
    for row in rows(review):
        cells = [f"{middle} ({spread})" if spread else middle for middle, spread in row.figures]
        cells += [words for words, _ in row.differences]
        yield f"| {_plain(row.title)} | {' | '.join(cells)} |"
    yield ""
    yield caption(review)


def _stalls(review: "DesignReview") -> Iterator[str]:
    for name in review.variants:
        places = review.places(name)
        for place in places[:_PLACES]:
            times = count(len(place.stalls), "stall")
            code = f" {_code(place.code)}" if place.code else ""
            yield (
                f"- {_plain(name)}: {_code(where(place))}{code} stalled the loop: {times}, "
                f"{duration(place.seconds)} in all, the worst {duration(place.worst['seconds'])}. "
                f"{_plain(diagnosis(place))}{_lesson(place.conflict)}".rstrip()
            )
        if len(places) > _PLACES:
            yield f"- {_plain(name)}: and {len(places) - _PLACES} more places"
    yield ""


def _findings(review: "DesignReview") -> Iterator[str]:
    sure = [one for one in review.evidence if one.finding.confidence != "hint"]
    if not sure:
        return
    yield "In the code, without running it:"
    yield ""
    for one in sure[:_FINDINGS]:
        found = one.finding
        yield (
            f"- {_code(f'{found.file}:{found.line}')} {found.kind} ({found.confidence}): "
            f"{_plain(found.message)}{_lesson(found.kind)}"
        )
        if found.through_calls:
            for frame in found.chain:
                yield f"  - {_code(f'{frame.file}:{frame.line}')} {_code(frame.function)} calls {_code(frame.call)}"
    if len(sure) > _FINDINGS:
        yield f"- and {len(sure) - _FINDINGS} more"
    yield ""


def _lesson(kind: str | None) -> str:
    lesson = lesson_of(kind)
    return f" Lesson {lesson[0]}, {lesson[1]}, treats it." if lesson is not None else ""


def _code(text: str) -> str:
    """Return text as code that may stand in a table, whatever it holds."""
    text = " ".join(text.split()).replace("|", "\\|")
    fence = "``" if "`" in text else "`"
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _plain(text: str) -> str:
    for mark in "\\*_`<|[":
        text = text.replace(mark, f"\\{mark}")
    return text
