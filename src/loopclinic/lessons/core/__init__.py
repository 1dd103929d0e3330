"""Framework of lesson checks: scenes that drive a lab, typed findings, tracked calls, shared verdicts.

Read in this order: `scene` (a check, its scenes and what they say), `shared_findings` (what they find),
`call` (calls of a lab), `stage` (what a scene drives with; only the child imports it), `verdicts` (reasons
that recur). The others are instruments of these.
"""

from loopclinic.lessons.core.call import Call, Calls
from loopclinic.lessons.core.scene import (
    Broken,
    Budget,
    Check,
    Judged,
    Judgement,
    Kept,
    Said,
    Scene,
)
from loopclinic.lessons.core.shared_findings import Ending, Left, Loop, Place, Stall

__all__ = [
    "Broken",
    "Budget",
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
    "Said",
    "Scene",
    "Stall",
]
