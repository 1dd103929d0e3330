"""Migration plan from findings: phases, worst first, as a Markdown checklist."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.finding import Finding
from loopclinic.scanner.scan_report import Report, printable
from loopclinic.units import count

_PHASES = (
    (
        "Hangs and wrong loops",
        "These fail or hang as soon as they are reached.",
        ("nested-loop", "thread-lock-in-async", "loop-bound-primitive", "sync-cm-mixed", "sync-circuit-breaker", "unawaited-coroutine"),
    ),
    (
        "What blocks everybody",
        "Each call of these stops every other task of the process.",
        (
            "blocking-retry", "blocking-sleep", "blocking-db", "blocking-redis", "blocking-sdk",
            "blocking-http", "blocking-net", "blocking-subprocess", "blocking-input",
            "blocking-sync-primitive", "cpu-bound", "blocking-file-io",
        ),
    ),
    (
        "What gets lost",
        "Work and errors that vanish without a word.",
        (
            "dropped-task", "dropped-gather-results", "swallowed-cancellation", "unclosed-resource",
            "shared-connection",
        ),
    ),
    (
        "Loops at the edges",
        "One loop for the program; adapters only where sync code calls in.",
        ("loop-per-call", "get-event-loop"),
    ),
    (
        "Load and speed",
        "Hints: measure before and after.",
        (
            "unbounded-gather", "too-many-connections", "missing-timeout", "lazy-init-race",
            "sequential-awaits",
        ),
    ),
)  # fmt: skip


_SHARED = 8
"""So many places that several lines lead to are named at the head."""


def plan(report: Report) -> str:
    """Return the plan: syntax errors first, then phases, in each the files with most to do first."""
    counts, total = report.counts, len(report.findings)
    touched = len({one.file for one in report.findings})
    found_in = (
        f"{count(total, 'finding')} in {touched:,} of {count(counts.get('files', 0), 'file')}"
    )
    mixed = f"{counts.get('mixed_files', 0):,} files mix sync and async functions"
    lines = [f"# Migration plan for {printable(Path(report.root).name)}", ""]
    lines += [f"{found_in}; {mixed}.", "", *_shared(report)]
    if report.skipped:
        lines += ["## Phase 0: Files that could not be read", ""]
        for one in report.skipped:
            lines.append(f"- [ ] `{printable(one.where)}` {one.reason}")
        lines.append("")
    rest = set(CONFLICTS) - {kind for _, _, kinds in _PHASES for kind in kinds}
    number = 0
    for title, why, kinds in (*_PHASES, ("The rest", "Of no phase above.", tuple(sorted(rest)))):
        found = [one for one in report.findings if one.kind in kinds]
        if found:
            number += 1
            lines += [f"## Phase {number}: {title} ({len(found)})", "", why, ""]
            lines += _kinds(found, kinds)
            lines += _files(found)
    if not report.findings:
        lines += ["Nothing to do.", ""]
    return "\n".join(lines)


def _shared(report: Report) -> Iterator[str]:
    """Name the places that more than one line leads to: fix it there, and all of those are fixed."""
    ends = Counter(
        (one.chain[-1].file, one.chain[-1].line, one.chain[-1].call, one.kind)
        for one in report.findings
        if one.through_calls
    )
    most = [(place, count) for place, count in ends.most_common(_SHARED) if count > 1]
    if most:
        yield "## Where several lines lead"
        yield ""
        for (file, line, call, kind), count in most:
            yield f"- `{printable(file)}:{line}` {call}, {kind}: {count} lines"
        yield ""


def _kinds(found: list[Finding], kinds: Sequence[str]) -> Iterator[str]:
    for kind in kinds:
        here = [one for one in found if one.kind == kind]
        if here:
            lesson = f" Lesson {here[0].lesson}." if here[0].lesson else ""
            yield f"- {kind} ({len(here)}): {CONFLICTS[kind].sentence}{lesson}"
    yield ""


def _files(found: list[Finding]) -> Iterator[str]:
    files: dict[str, list[Finding]] = {}
    for one in found:
        files.setdefault(one.file, []).append(one)
    for file, inside in sorted(files.items(), key=lambda item: (-len(item[1]), item[0])):
        yield f"### `{printable(file)}` ({len(inside)})"
        yield ""
        for one in inside:
            mark = " (hint)" if one.confidence == "hint" else ""
            source = printable(one.source).replace("`", chr(39))
            yield f"- [ ] line {one.line}, {one.kind}{mark}: `{source}`{_end(one)}"
        yield ""


def _end(one: Finding) -> str:
    """Say where a chain ends, which is where the work is."""
    if not one.through_calls:
        return ""
    last = one.chain[-1]
    where = (
        f"line {last.line}" if last.file == one.file else f"`{printable(last.file)}:{last.line}`"
    )
    return f" leads to {last.call}, {where}"
