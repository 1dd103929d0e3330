"""Open-loop load: requests on a schedule, their figures, and comparisons of variants.

Imported on first use: the load generator's process needs none of it, and has to start fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopclinic.load.comparison import Comparison as Comparison
    from loopclinic.load.difference import Difference as Difference
    from loopclinic.load.interleave import compare as compare
    from loopclinic.load.own_loop import drive as drive
    from loopclinic.load.plots import lag_plot as lag_plot
    from loopclinic.load.plots import latency_plot as latency_plot
    from loopclinic.load.request_schedule import Load as Load
    from loopclinic.load.variant import LoadError as LoadError
    from loopclinic.load.variant import Request as Request
    from loopclinic.load.variant import Variant as Variant
    from loopclinic.load.vitals import Latency as Latency
    from loopclinic.load.vitals import Vitals as Vitals

_HOMES = {
    "Comparison": "comparison",
    "Difference": "difference",
    "Latency": "vitals",
    "Load": "request_schedule",
    "LoadError": "variant",
    "Request": "variant",
    "Variant": "variant",
    "Vitals": "vitals",
    "compare": "interleave",
    "drive": "own_loop",
    "lag_plot": "plots",
    "latency_plot": "plots",
}

__all__ = [*sorted(_HOMES)]  # noqa: PLE0604 - a sorted view of the table above, strings all


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'loopclinic.load' has no attribute {name!r}")
    value = getattr(import_module(f"loopclinic.load.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
