"""Checks a learner's lab: runs it in a child process, has its lesson judge the trial, keeps progress.

Imported on first use: the child, whose start each check waits for, needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopclinic.checks.checking import check as check
    from loopclinic.checks.checking import check_lesson as check_lesson
    from loopclinic.checks.watch_widget import watch as watch

_HOMES = {"check": "checking", "check_lesson": "checking", "watch": "watch_widget"}

__all__ = [*sorted(_HOMES)]  # noqa: PLE0604 - a sorted view of the table above, strings all


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
