"""Runs a design review: compares variants under load and scans their code."""

import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import loopclinic
from loopclinic.design.command import Command, is_command
from loopclinic.design.compared_code import Subject
from loopclinic.design.markdown import markdown
from loopclinic.design.review_page import design_page
from loopclinic.design.scanner_evidence import Evidence, gathered
from loopclinic.drawing.document import InlinePage
from loopclinic.load.comparison import Comparison
from loopclinic.load.interleave import compare as compare_under_load
from loopclinic.load.request_schedule import Load
from loopclinic.load.variant import Target, Variant
from loopclinic.scanner.options import SettingsError

_TOLD = (
    *("aiohttp", "uvloop", "uvicorn", "fastapi", "starlette", "flask", "django", "quart"),
    *("asyncpg", "psycopg", "sqlalchemy", "redis", "httpx", "requests", "boto3", "pydantic"),
)
"""Libraries whose versions matter to figures, where they are installed and in use."""


@dataclass(frozen=True)
class Circumstances:
    """The machine and the versions, and the moment in UTC."""

    machine: str
    python: str
    versions: tuple[tuple[str, str], ...]
    finished: str
    load_average: float | None = None
    """Of the last minute, as it ended."""

    @classmethod
    def now(cls) -> Self:
        """Return the environment of a review that ends now."""
        return cls(
            machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            python=f"{platform.python_implementation()} {platform.python_version()}",
            versions=(("loopclinic", loopclinic.__version__), *_versions()),
            finished=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        )

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions)
        busy = "" if self.load_average is None else f"; load average {self.load_average:.1f}"
        return f"{self.machine}{busy}; {self.python}, {versions}; {self.finished}"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; `from_dict` rebuilds it."""
        return {**asdict(self), "versions": dict(self.versions)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild it from `to_dict()`."""
        return cls(**{**values, "versions": tuple(values["versions"].items())})


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in _TOLD:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if name == "aiohttp" or name in sys.modules:
            found.append((name, version))
    return found


@dataclass(frozen=True, repr=False, kw_only=True)
class DesignReview(Comparison):
    """A comparison, with what was compared, where, what the scanner says, and how to repeat it."""

    subjects: tuple[Subject, ...]
    evidence: tuple[Evidence, ...]
    circumstances: Circumstances
    warmup: float
    command: str
    """What repeats it."""

    def to_html(self, title: str = "") -> str:
        """Return one page that needs nothing else, to be attached to a review."""
        return design_page(self, title)

    def to_markdown(self) -> str:
        """Return the review as Markdown, for a pull request."""
        return markdown(self)

    def page(self, height: int = 700) -> InlinePage:
        """Return the page as the last expression of a cell shows it, so many pixels high."""
        return InlinePage(self.to_html(), height)

    def save(self, path: str | Path) -> Path:
        """Write it to a file, as its suffix says, and return the path; ValueError unless .html, .md or .json."""
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
            "command": self.command,
            "warmup": self.warmup,
            "circumstances": self.circumstances.to_dict(),
            "subjects": [one.to_dict() for one in self.subjects],
            "findings": [one.to_dict() for one in self.evidence],
            "places": {it: [one.to_dict() for one in self.places(it)] for it in self.variants},
        }

    def to_json(self) -> str:
        """Return it as JSON, samples included."""
        return super().to_json() + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild it from `to_dict()`; ValueError if a newer loopclinic made it."""
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
        *chosen, load=load, rounds=rounds, warmup=warmup, bound=bound, progress=progress
    )
    evidence: tuple[Evidence, ...] = ()
    notes = measured.notes
    if scan:
        try:
            evidence = gathered(subjects)
        except SettingsError as error:
            notes = (*notes, f"The code was not scanned: {error}")
    # By the names that tell variants of one name apart.
    named = zip(subjects, measured.variants, strict=True)
    return DesignReview(
        **{**_values(measured), "notes": notes},
        subjects=tuple(replace(one, name=name) for one, name in named),
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


def _command(variants: Sequence[Variant], measured: Comparison, rounds: int, warmup: float) -> str:
    """Return what repeats it: a command where files and commands were compared, else a call."""
    load = measured.load
    default = Load()
    plain = all(isinstance(one.target, str) and one.setup is None for one in variants)
    if plain and load.payloads is None:
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
    names = [repr(one.target) if isinstance(one.target, str) else one.name for one in variants]
    given = [*names, f"load=Load({', '.join(given)})", f"rounds={rounds}", f"warmup={warmup:g}"]
    return f"loopclinic.compare({', '.join(given)})"
