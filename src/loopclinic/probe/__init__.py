"""The probe: measures an event loop, and names the line behind every stall.

Depends on the standard library alone.
"""

from loopclinic.probe.histogram import Lag
from loopclinic.probe.meter import UnsupportedLoopError
from loopclinic.probe.probe import Census, Probe, Snapshot
from loopclinic.probe.report import Frame, Report, Span, Stall
from loopclinic.probe.stack import user_code

__all__ = [
    "Census",
    "Frame",
    "Lag",
    "Probe",
    "Report",
    "Snapshot",
    "Span",
    "Stall",
    "UnsupportedLoopError",
    "user_code",
]
