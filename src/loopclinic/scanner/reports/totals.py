"""A report's totals in words, for every view of it."""

from collections.abc import Iterator

from loopclinic.scanner.report import Report

__all__ = ["totals"]

# What is counted, and which of them.
_WORDS = {
    "files": ("file", ""),
    "files_read": ("file", " that could be read"),
    "lines": ("line", ""),
    "mixed_files": ("file", " with sync and async functions"),
    "async_functions": ("async function", ""),
    "sync_functions": ("sync function", ""),
    "asyncio_run_calls": ("call", " of asyncio.run"),
    "syntax_errors": ("file", " with syntax errors"),
    "unresolved_calls": ("call", " in async reach that could not be resolved"),
    "in_baseline": ("finding", " known from the baseline"),
}


def totals(report: Report) -> Iterator[tuple[int, str]]:
    """Yield each total and what it counts; the files that were read only where some were not."""
    all_read = report.counts.get("files_read") == report.counts.get("files")
    for key, (noun, which) in _WORDS.items():
        if key in report.counts and not (key == "files_read" and all_read):
            value = report.counts[key]
            yield value, f"{noun if value == 1 else noun + 's'}{which}"
