"""A migration plan in phases, worst first, as a checklist in Markdown."""

from collections.abc import Iterator

from loopclinic.scanner.findings import Finding
from loopclinic.scanner.report import Report
from loopclinic.scanner.reports.text import printable

__all__ = ["plan"]

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
        ("dropped-task", "dropped-gather-results", "swallowed-cancellation", "unclosed-resource"),
    ),
    (
        "Loops at the edges",
        "One loop for the program; adapters only where sync code calls in.",
        ("loop-per-call", "get-event-loop"),
    ),
    (
        "Load and speed",
        "Hints: measure before and after.",
        ("unbounded-gather", "missing-timeout", "lazy-init-race", "sequential-awaits"),
    ),
)  # fmt: skip


def plan(report: Report) -> str:
    """Return the plan: syntax errors first, then phases, in each the files with most to do first."""
    counts, total = report.counts, len(report.findings)
    lines = [f"# Migration plan for {report.root}", ""]
    lines += [
        f"{counts.get('files', 0):,} files, {counts.get('mixed_files', 0):,} mixed; {total:,} findings.",
        "",
    ]
    number = 0
    if report.skipped:
        lines += ["## Phase 0: what could not be read", ""]
        for one in report.skipped:
            at = f":{one.line}" if one.line else ""
            lines.append(f"- [ ] `{printable(one.file)}{at}` {one.reason}")
        lines.append("")
    for title, why, kinds in _PHASES:
        found = [one for one in report.findings if one.kind in kinds]
        if found:
            number += 1
            lines += [f"## Phase {number}: {title} ({len(found)})", "", why, ""]
            lines += _files(found)
    rest = {kind for _, _, kinds in _PHASES for kind in kinds}
    left = [one for one in report.findings if one.kind not in rest]
    if left:
        lines += [f"## Phase {number + 1}: The rest ({len(left)})", "", *_files(left)]
    if not report.findings:
        lines += ["Nothing to do.", ""]
    return "\n".join(lines)


def _files(found: list[Finding]) -> Iterator[str]:
    files: dict[str, list[Finding]] = {}
    for one in found:
        files.setdefault(one.file, []).append(one)
    for file, inside in sorted(files.items(), key=lambda item: (-len(item[1]), item[0])):
        yield f"### `{printable(file)}` ({len(inside)})"
        yield ""
        for one in inside:
            lesson = f", lesson {one.lesson}" if one.lesson else ""
            mark = " (hint)" if one.confidence == "hint" else ""
            yield f"- [ ] line {one.line}, {one.kind}{mark}{lesson}: `{printable(one.source).replace('`', chr(39))}`"
        yield ""
