"""Checks a learner's lab: runs it in a child process, has its lesson judge the trial, keeps progress."""

from typing import TYPE_CHECKING, Any

from loopclinic.checks.checking import check, check_lesson

if TYPE_CHECKING:
    from loopclinic.checks.watch_widget import watch as watch

__all__ = ["check", "check_lesson", "watch"]


def __getattr__(name: str) -> Any:
    if name == "watch":  # needs ipywidgets, which a check in a terminal does not
        from loopclinic.checks.watch_widget import watch  # see above

        return watch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
