"""A key-value store that exists in a sync and an async form, and is chosen at run time."""

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, overload


class Store:
    def get(self, key):
        return json.loads(Path(key).read_text())

    def close(self):
        time.sleep(0.1)


class AsyncStore:
    async def get(self, key):
        await asyncio.sleep(0)
        return key

    async def close(self):
        await asyncio.sleep(0)


@overload
def open_store(url: str, *, sync: Literal[True]) -> Store: ...
@overload
def open_store(url: str, *, sync: Literal[False] = False) -> AsyncStore: ...
def open_store(url: str, *, sync: bool = False) -> Store | AsyncStore:
    return Store() if sync else AsyncStore()


async def overloaded():
    store = open_store("a")
    await store.get("k")  # clean: the default of `sync` makes it the async form
    other = open_store("a", sync=False)
    value = await other.get("k")  # clean: and so does False
    sync = open_store("a", sync=True)
    sync.get("k")  # expect-via: blocking-file-io
    await open_store("a").close()  # clean: async as well
    other.close()  # expect: unawaited-coroutine
    return value


async def either(store: Store | AsyncStore):
    found = await store.get("k")  # clean: what is awaited is the async form
    if isinstance(store, AsyncStore):
        await store.close()
        return found
    store.get("k")  # expect-via: blocking-file-io
    return found


class Cache:
    def __init__(self, store: Store | AsyncStore, hook: Callable[[], Awaitable | None]):
        self.store = store
        self.hook = hook

    async def read(self, key):
        if isinstance(self.store, AsyncStore):
            return await self.store.get(key)  # clean: narrowed
        return await asyncio.to_thread(self.store.get, key)

    async def close(self):
        if isinstance(self.store, AsyncStore):
            self.store.close()  # expect: unawaited-coroutine
        elif isinstance(self.store, Store):
            self.store.close()  # expect-via: blocking-sleep

    def close_now(self):
        if not isinstance(self.store, AsyncStore):
            self.store.close()  # clean: the sync form, in sync code


async def refresh():
    await asyncio.sleep(0)


def recount():
    return 1


def job(name) -> Callable:
    return refresh if name == "refresh" else recount


async def run_job(name):
    found = job(name)()  # clean: one of the jobs is sync, so it may be no coroutine
    if inspect.isawaitable(found):
        await found


def run_now(name):
    work = refresh if name == "refresh" else recount
    if inspect.iscoroutinefunction(work):
        asyncio.run(work())  # expect: loop-per-call
    else:
        work()  # clean: not the async one


async def run_all(name):
    work = refresh if name == "refresh" else recount
    if asyncio.iscoroutinefunction(work):
        work()  # expect: unawaited-coroutine
    else:
        work()  # clean: not the async one


class Gate:
    def __init__(self):
        self.held = False

    def __enter__(self):
        time.sleep(0.01)

    def __exit__(self, *exc):
        return None


class AsyncGate:
    async def __aenter__(self):
        await asyncio.sleep(0)

    async def __aexit__(self, *exc):
        return None


async def through(gate: Gate | AsyncGate):
    async with gate:  # clean: only the async one can be entered so
        await asyncio.sleep(0)
