"""A report's totals in words, for every view of it."""

from collections.abc import Iterator

from loopclinic.scanner.report import Report

__all__ = ["totals"]

# Of one, of several.
_WORDS = {
    "files": ("file", "files"),
    "files_read": ("file that could be read", "files that could be read"),
    "lines": ("line", "lines"),
    "mixed_files": ("file with sync and async functions", "files with sync and async functions"),
    "async_functions": ("async function", "async functions"),
    "sync_functions": ("sync function", "sync functions"),
    "asyncio_run_calls": ("call of asyncio.run", "calls of asyncio.run"),
    "syntax_errors": ("file with syntax errors", "files with syntax errors"),
    "unresolved_calls": (
        "call in async reach that could not be resolved",
        "calls in async reach that could not be resolved",
    ),
    "in_baseline": ("finding known from the baseline", "findings known from the baseline"),
}


def totals(report: Report) -> Iterator[tuple[int, str]]:
    """Yield each total and what it counts; the files that were read only where some were not."""
    all_read = report.counts.get("files_read") == report.counts.get("files")
    for key, (one, several) in _WORDS.items():
        if key in report.counts and not (key == "files_read" and all_read):
            value = report.counts[key]
            yield value, one if value == 1 else several
