"""What lessons are checked with: scenes with typed findings, calls, shared verdicts.

The stage that a scene is given is in `stage`, which only the child imports.
"""

from loopclinic.lessons.core.call import Call, Calls
from loopclinic.lessons.core.findings import Ending, Left, Loop, Place, Stall
from loopclinic.lessons.core.scene import Check, Judged, Judgement, Kept, Scene

__all__ = [
    "Call",
    "Calls",
    "Check",
    "Ending",
    "Judged",
    "Judgement",
    "Kept",
    "Left",
    "Loop",
    "Place",
    "Scene",
    "Stall",
]
