"""Everything that the notebook shows, under one name, and the database it needs."""

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.flask_bridge.deploy import deploy, score
from loopclinic.lessons.flask_bridge.diagnosis import diagnose
from loopclinic.lessons.flask_bridge.halfway import own_loop, two_loops
from loopclinic.lessons.flask_bridge.ladder import record
from loopclinic.lessons.flask_bridge.patched import patched
from loopclinic.lessons.flask_bridge.race import race
from loopclinic.lessons.flask_bridge.standstill import standstill
from loopclinic.lessons.flask_bridge.updates import lay_out
from loopclinic.lessons.kernel_database import KernelDatabase
from loopclinic.lessons.prediction import Prediction

__all__ = [
    "Drawing",
    "Prediction",
    "deliveries",
    "deploy",
    "diagnose",
    "own_loop",
    "patched",
    "race",
    "record",
    "score",
    "standstill",
    "two_loops",
]

_DELIVERIES = KernelDatabase("deliveries", lay_out)


async def deliveries() -> str:
    """Return the address of a database with messages and updates; it ends with the kernel."""
    return await _DELIVERIES.address()
