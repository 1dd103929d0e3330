"""The probe: measures an event loop, and names the line behind every stall.

Depends on the standard library alone.
"""

from loopclinic.probe.census import Census
from loopclinic.probe.histogram import Lag
from loopclinic.probe.meter import UnsupportedLoopError
from loopclinic.probe.probe import Probe
from loopclinic.probe.report import Callback, Frame, Place, Report, Span, Stall
from loopclinic.probe.snapshot import Snapshot
from loopclinic.probe.stack import user_code

__all__ = [
    "Callback",
    "Census",
    "Frame",
    "Lag",
    "Place",
    "Probe",
    "Report",
    "Snapshot",
    "Span",
    "Stall",
    "UnsupportedLoopError",
    "user_code",
]
