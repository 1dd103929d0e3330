"""Measure an event loop, find what blocks it, and learn how to fix it.

Everything below is imported on first use, so that `import loopclinic` costs next to nothing.

PYTEST_DONT_REWRITE: pytest warns where a plugin's package was imported before pytest, as under `run`.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopclinic.checks import check as check
    from loopclinic.checks import watch as watch
    from loopclinic.design.review import DesignReview as DesignReview
    from loopclinic.design.review import compare as compare
    from loopclinic.lessons.schedules.search import search_schedules as search_schedules
    from loopclinic.load.comparison import Comparison as Comparison
    from loopclinic.load.own_loop import drive as drive
    from loopclinic.load.request_schedule import Load as Load
    from loopclinic.load.variant import Variant as Variant
    from loopclinic.load.vitals import Vitals as Vitals
    from loopclinic.probe import Probe as Probe
    from loopclinic.probe import Report as Report
    from loopclinic.probe import Stall as Stall
    from loopclinic.runner.notebook_run import run as run
    from loopclinic.scanner import scan as scan
    from loopclinic.scope import Scope as Scope
    from loopclinic.scope.attached_scope import attach as attach
    from loopclinic.timeline import Timeline as Timeline
    from loopclinic.verdict import Verdict as Verdict

__version__ = "0.1.0"

_HOMES = {
    "Comparison": "load.comparison",
    "DesignReview": "design.review",
    "Load": "load.request_schedule",
    "Probe": "probe",
    "Report": "probe",
    "Scope": "scope",
    "Stall": "probe",
    "Timeline": "timeline",
    "Variant": "load.variant",
    "Verdict": "verdict",
    "Vitals": "load.vitals",
    "attach": "scope.attached_scope",
    "check": "checks",
    "compare": "design.review",
    "drive": "load.own_loop",
    "run": "runner.notebook_run",
    "scan": "scanner",
    "search_schedules": "lessons.schedules.search",
    "watch": "checks",
}
_LIGHT = {"probe", "scanner", "timeline", "verdict"}

__all__ = [*sorted(_HOMES)]  # noqa: PLE0604 - a sorted view of the table above, strings all


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'loopclinic' has no attribute {name!r}")
    try:
        value = getattr(import_module(f"loopclinic.{home}"), name)
    except ModuleNotFoundError as error:
        if home in _LIGHT or (error.name or "").startswith("loopclinic"):
            raise
        raise ModuleNotFoundError(
            f"loopclinic.{name} needs {error.name}: install the kit with pip install 'loopclinic[kit]'.",
            name=error.name,
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


if "ipykernel" in sys.modules:
    import_module("loopclinic.interrupted_cell").install()
