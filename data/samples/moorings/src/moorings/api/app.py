"""The HTTP API."""

import asyncio
import logging
import time
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from ..cache import get_redis, too_many
from ..db import close_pool, get_pool
from ..db.pool import pool_size
from ..errors import MooringsError
from ..services.weather import weather
from . import berths, bookings, invoices, webhooks

logger = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: FastAPI):
    await get_pool()
    asyncio.create_task(weather.watch())
    yield
    await close_pool()


app = FastAPI(title="Moorings", lifespan=lifespan)
for module in (berths, bookings, invoices, webhooks):
    app.include_router(module.router)


@app.exception_handler(MooringsError)
async def refused(request: Request, error: MooringsError) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=error.status)


@app.middleware("http")
async def limits(request: Request, call_next):
    who = request.client.host if request.client else "unknown"
    if await too_many(who, 120):
        return JSONResponse({"error": "too many requests"}, status_code=429)
    started = time.perf_counter()
    response = await call_next(request)
    response.headers["Server-Timing"] = f"app;dur={(time.perf_counter() - started) * 1000:.1f}"
    return response


@app.get("/health")
async def health() -> dict[str, object]:
    return {"redis": get_redis().ping(), "connections": pool_size()}


@app.get("/version")
def version() -> dict[str, str]:
    from .. import __version__

    return {"version": __version__}
