"""Two designs or more under the same load, with all that a review needs to know of them."""

import json
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from loopclinic.load import Comparison, Load, Variant
from loopclinic.load import compare as compare_under_load
from loopclinic.load.variant import Target
from loopclinic.review.circumstances import Circumstances
from loopclinic.review.command import Command, is_command
from loopclinic.review.conclusion import conclusion
from loopclinic.review.evidence import Evidence, gathered
from loopclinic.review.recording import Place
from loopclinic.review.subject import Subject
from loopclinic.scanner.settings import SettingsError

if TYPE_CHECKING:
    from loopclinic.review.inline import InlinePage

__all__ = ["DesignReview", "compare"]


@dataclass(frozen=True, repr=False, kw_only=True)
class DesignReview(Comparison):
    """A comparison, with what was compared, where, what the scanner says, and how to repeat it."""

    subjects: tuple[Subject, ...]
    evidence: tuple[Evidence, ...]
    circumstances: Circumstances
    warmup: float
    command: str
    """What repeats it."""

    @property
    def headline(self) -> str:
        """What it comes to, in a sentence; `no difference` where there is none."""
        return conclusion(self)

    def places(self, variant: str) -> tuple[Place, ...]:
        """Return the lines that stalled a variant's loops, in all rounds, the costliest first."""
        found: defaultdict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
        for run in self[variant]:
            for stall in run.stalls:
                found[stall.file, stall.line, stall.burst].append(stall.to_dict())
        places = (Place(tuple(stalls)) for stalls in found.values())
        return tuple(sorted(places, key=lambda place: -place.seconds))

    def to_html(self, title: str = "") -> str:
        """Return one page that needs nothing else, to be attached to a review."""
        from loopclinic.review.design_page import design_page  # noqa: PLC0415 - draws plots

        return design_page(self, title)

    def to_markdown(self) -> str:
        """Return it for a pull request."""
        from loopclinic.review.design_markdown import markdown  # noqa: PLC0415 - where asked for

        return markdown(self)

    def page(self, height: int = 700) -> "InlinePage":
        """Return the page as the last expression of a cell shows it, so many pixels high."""
        from loopclinic.review.inline import InlinePage  # noqa: PLC0415 - in notebooks

        return InlinePage(self.to_html(), height)

    def save(self, path: str | Path) -> Path:
        """Write it to a file, as its suffix says: .html, .md or .json. Return the path.

        Raises:
            ValueError: it has another suffix.
        """
        file = Path(path)
        forms = {".html": self.to_html, ".md": self.to_markdown, ".json": self.to_json}
        if file.suffix not in forms:
            raise ValueError(f"{file} has no form: let it end in {', '.join(forms)}.")
        file.write_text(forms[file.suffix](), "utf-8")
        return file

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; `from_dict` rebuilds it."""
        return {
            **super().to_dict(),
            "headline": self.headline,
            "command": self.command,
            "warmup": self.warmup,
            "circumstances": self.circumstances.to_dict(),
            "subjects": [one.to_dict() for one in self.subjects],
            "findings": [one.to_dict() for one in self.evidence],
            "places": {
                name: [
                    {
                        "file": place.worst["file"],
                        "line": place.worst["line"],
                        "code": place.code,
                        "conflict": place.conflict,
                        "stalls": len(place.stalls),
                        "seconds": place.seconds,
                        "worst": place.worst["seconds"],
                    }
                    for place in self.places(name)
                ]
                for name in self.variants
            },
        }

    def to_json(self) -> str:
        """Return it as JSON, samples included."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild it from `to_dict()`.

        Raises:
            ValueError: the schema is newer than this version of loopclinic.
        """
        measured = Comparison.from_dict(values)
        return cls(
            **_values(measured),
            subjects=tuple(
                Subject(**{**one, "files": tuple(map(Path, one["files"]))})
                for one in values["subjects"]
            ),
            evidence=tuple(Evidence.from_dict(one) for one in values["findings"]),
            circumstances=Circumstances.from_dict(values["circumstances"]),
            warmup=values["warmup"],
            command=values["command"],
        )


def compare(
    *variants: Variant | Target,
    load: Load | None = None,
    rounds: int = 5,
    warmup: float = 0.5,
    bound: float | None = None,
    progress: bool = True,
    scan: bool = True,
) -> DesignReview:
    """Put each variant under the same load, in a process of its own, round after round.

    All servers stay up; the load comes from one more process; rounds are interleaved, so that
    whatever else the machine does meets every variant alike. A variant's code runs as an ordinary
    process of yours, with all your rights; scanning it runs nothing.

    Args:
        variants: what to compare, the first is what the others are measured against. Each an async
            callable `(request) -> response`; an ASGI, WSGI or aiohttp application, or a function
            without arguments that makes one; `"FILE.py:name"` or `"package.module:name"` of these;
            a command with `{port}` in it; or a `Variant`.
        load: requests a round.
        rounds: three or more, or no difference can be told.
        warmup: seconds of load for each variant before the first round, not counted.
        bound: seconds that no variant's latency can beat, drawn and labelled in plots.
        progress: show how far it is.
        scan: look for conflicts in the variants' files, too.

    Raises:
        LoadError: a variant can't travel, doesn't start, dies, or answers nothing.
        ValueError: a number makes no sense.
        KeyboardInterrupt: at an interrupt, once, with every process ended.
    """
    chosen = [_variant(one) for one in variants]
    subjects = [Subject.of(one) for one in chosen]
    measured = compare_under_load(
        *chosen,
        load=load,
        rounds=rounds,
        warmup=warmup,
        bound=bound,
        progress=progress,
    )
    evidence: tuple[Evidence, ...] = ()
    notes = measured.notes
    if scan:
        try:
            evidence = gathered(subjects)
        except SettingsError as error:
            notes = (*notes, f"The code was not scanned: {error}")
    values = {**_values(measured), "notes": notes}
    named = zip(subjects, measured.variants, strict=True)
    return DesignReview(
        **values,
        subjects=tuple(_renamed(one, name) for one, name in named),
        evidence=evidence,
        circumstances=Circumstances.now(),
        warmup=warmup,
        command=_command(chosen, measured, rounds, warmup),
    )


def _variant(one: Variant | Target) -> Variant:
    if isinstance(one, Variant):
        return one
    return Command(str(one)) if is_command(one) else Variant(one)


def _values(comparison: Comparison) -> dict[str, Any]:
    return {one.name: getattr(comparison, one.name) for one in fields(Comparison)}


def _renamed(subject: Subject, name: str) -> Subject:
    """Return it by the name that tells it from others of its own."""
    return Subject(name, subject.where, subject.code, subject.files)


def _command(variants: Sequence[Variant], measured: Comparison, rounds: int, warmup: float) -> str:
    """Return what repeats it: a command where files and commands were compared, else a call."""
    load = measured.load
    default = Load()
    if all(isinstance(one.target, str) and one.setup is None for one in variants) and (
        load.payloads is None
    ):
        words = ["loopclinic", "compare", *(str(one.target) for one in variants)]
        shape = ("jobs",) if load.jobs is not None else ("rate", "seconds", "arrivals")
        for name in (*shape, "timeout", "seed", "path", "method"):
            value = getattr(load, name)
            if name in shape[:2] or value != getattr(default, name):
                words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
        words += ["--rounds", str(rounds), "--warmup", f"{warmup:g}"]
        return shlex.join(words)
    given = [
        f"{one.name}={getattr(load, one.name)!r}"
        for one in fields(Load)
        if one.name != "payloads" and getattr(load, one.name) != getattr(default, one.name)
    ]
    if load.payloads is not None:
        given.append("payloads=...")
    names = ", ".join(
        repr(one.target) if isinstance(one.target, str) else one.name for one in variants
    )
    return (
        f"loopclinic.compare({names}, load=Load({', '.join(given)}), rounds={rounds}, "
        f"warmup={warmup:g})"
    )
