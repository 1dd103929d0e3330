"""Open-loop load, what it showed, and variants compared under it."""

from loopclinic.load.compare import compare
from loopclinic.load.comparison import Comparison
from loopclinic.load.drive import drive
from loopclinic.load.schedule import Load
from loopclinic.load.variant import LoadError, Request, Variant
from loopclinic.load.vitals import Latency, Vitals

__all__ = [
    "Comparison",
    "Latency",
    "Load",
    "LoadError",
    "Request",
    "Variant",
    "Vitals",
    "compare",
    "drive",
]
