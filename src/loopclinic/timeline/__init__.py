"""`Timeline`: records and draws one lane per task (running, ready, suspended at which line), and stalls."""

from loopclinic.timeline.lane_picture import drawing_of
from loopclinic.timeline.model import Lane, LaneStall, Span, Trace
from loopclinic.timeline.timeline import Timeline

__all__ = ["Lane", "LaneStall", "Span", "Timeline", "Trace", "drawing_of"]
