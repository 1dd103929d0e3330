"""The probe: measures an event loop, and names the line behind every stall.

Depends on the standard library alone.
"""

from loopclinic.probe.census import Census, Waiters, Waiting
from loopclinic.probe.histogram import Lag
from loopclinic.probe.meter import UnsupportedLoopError
from loopclinic.probe.probe import Probe
from loopclinic.probe.report import (
    Callback,
    CallbackShare,
    Frame,
    Place,
    Report,
    Share,
    Snapshot,
    Span,
    Stall,
)
from loopclinic.probe.stack import user_code

__all__ = [
    "Callback",
    "CallbackShare",
    "Census",
    "Frame",
    "Lag",
    "Place",
    "Probe",
    "Report",
    "Share",
    "Snapshot",
    "Span",
    "Stall",
    "UnsupportedLoopError",
    "Waiters",
    "Waiting",
    "user_code",
]
