import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI, Request, Response
from redis.asyncio import Redis

from .cache import Cache
from .db import SessionDep, engine
from .repository import Books


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    redis = Redis.from_url("redis://localhost", socket_timeout=2)  # clean: closed below
    app.state.cache = Cache(redis)
    yield
    await redis.aclose()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


def write_log(line: str) -> None:
    with open("catalog.log", "a") as file:
        file.write(line + "\n")


@app.middleware("http")
async def timing(request: Request, call_next: Callable) -> Response:
    started = time.perf_counter()  # clean: reads a clock
    response = await call_next(request)
    response.headers["X-Seconds"] = f"{time.perf_counter() - started:.3f}"
    return response


@app.get("/books/{book_id}")
async def book(book_id: int, session: SessionDep, background: BackgroundTasks) -> dict[str, str | None]:
    cache: Cache = app.state.cache
    title = await cache.get(f"book:{book_id}")
    if title is None:
        title = await Books(session).get(book_id)
    background.add_task(write_log, f"read {book_id}")  # clean: a plain background task runs in the thread pool
    return {"title": title}


@app.get("/slow")
async def slow() -> dict[str, str]:
    await asyncio.sleep(1)  # clean: asyncio's own sleep
    return {"status": "ok"}


@app.get("/report")
def report() -> Response:
    time.sleep(1)  # clean: a plain-def endpoint runs in the thread pool
    return Response(open("catalog.log").read())  # clean: a plain-def endpoint
