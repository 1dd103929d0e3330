"""Cancellation that is caught and goes no further."""

from collections.abc import Iterator

from loopclinic.scanner.findings import Finding
from loopclinic.scanner.survey import Survey
from loopclinic.scanner.words import words

__all__ = ["detect"]

_CANCELLED = words(
    "asyncio.CancelledError asyncio.exceptions.CancelledError concurrent.futures.CancelledError"
    " anyio.get_cancelled_exc_class"
)
_ALL = _CANCELLED | {"builtins.BaseException"}


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield handlers around an await that keep cancellation to themselves."""
    for file, one in survey.patterns("swallowed-cancellation"):
        how = one.note.partition(":")[0]
        types = list(one.values)
        split = types.index(None) if None in types else len(types)
        passed = {path for value in types[split + 1 :] for path in survey.outside(file, value)}
        if passed & _ALL:
            continue
        caught = {path for value in types[:split] for path in survey.outside(file, value)}
        if not caught & _ALL:
            continue
        if "builtins.BaseException" in caught and not caught & _CANCELLED:
            message = (
                "This catches CancelledError too and does not raise it again: catch Exception."
            )
        else:
            message = (
                "CancelledError is caught and not raised again: whoever cancelled is not obeyed."
            )
        confidence = "likely" if how == "other" else "certain"
        yield survey.finding(file, one.function, one, "swallowed-cancellation", message, confidence)
