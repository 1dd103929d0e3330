"""Everything that the notebook shows, under one name, and the database it needs."""

import asyncio
import atexit

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.flask_bridge.deploy import deploy, score
from loopclinic.lessons.flask_bridge.diagnosis import diagnose
from loopclinic.lessons.flask_bridge.halfway import own_loop, two_loops
from loopclinic.lessons.flask_bridge.ladder import record
from loopclinic.lessons.flask_bridge.patched import patched
from loopclinic.lessons.flask_bridge.race import race
from loopclinic.lessons.flask_bridge.standstill import standstill
from loopclinic.lessons.flask_bridge.updates import lay_out
from loopclinic.lessons.prediction import Prediction
from loopclinic.servers.postgres import Database, database

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

_running: list[Database] = []


async def deliveries() -> str:
    """Return the address of a database with messages and updates; it ends with the kernel."""
    if not _running:
        one = database("deliveries")
        await one.start_async()
        try:
            await asyncio.to_thread(lay_out, one.dsn)
        except BaseException:
            await one.close_async()
            raise
        atexit.register(one.close)
        _running.append(one)
    return _running[0].dsn
