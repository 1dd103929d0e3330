import logging
from asyncio import run as run_async
from datetime import date
from pathlib import Path

from ..adapters.accounting import Accounting
from ..services.reports import Reports
from .celery_app import app

logger = logging.getLogger(__name__)

FOLDER = Path("/var/lib/moorings/reports")


@app.task(name="reports.revenue")
def revenue(year: int | None = None) -> str:
    year = year or date.today().year
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"revenue-{year}.csv"
    run_async(Reports(Accounting()).export(year, str(path)))
    logger.info("wrote %s", path)
    return str(path)
