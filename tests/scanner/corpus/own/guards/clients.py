"""Sessions, pools, breakers and context managers."""

import asyncio
import contextlib
import threading

import aiohttp
import asyncpg
import httpx
import pybreaker
import redis.asyncio as redis

breaker = pybreaker.CircuitBreaker(fail_max=5)


async def leaks():
    session = aiohttp.ClientSession()  # expect: unclosed-resource
    answer = await session.get("http://localhost", timeout=3)
    return answer.status


async def leaks_client():
    client = httpx.AsyncClient()  # expect: unclosed-resource, blocking-file-io
    return (await client.get("http://localhost")).text


async def leaks_in_passing():
    return await httpx.AsyncClient().get("http://localhost")  # expect: unclosed-resource, blocking-file-io


async def leaks_pool(dsn):
    pool = await asyncpg.create_pool(dsn)  # expect: unclosed-resource
    return await pool.fetch("select 1")


async def closes():
    session = aiohttp.ClientSession()  # clean: closed below
    try:
        return await session.get("http://localhost", timeout=3)
    finally:
        await session.close()


async def scoped():
    async with httpx.AsyncClient() as client:  # expect: blocking-file-io
        return await client.get("http://localhost")


async def handed_out(dsn):
    return await asyncpg.create_pool(dsn)  # clean: the caller closes it


async def handed_on(app, dsn):
    pool = await asyncpg.create_pool(dsn)  # clean: the application closes it
    app["pool"] = pool


async def on_a_stack():
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient())  # expect: blocking-file-io
        return await client.get("http://localhost")


class Leaky:
    def __init__(self):
        self.session = aiohttp.ClientSession()  # expect: unclosed-resource

    async def load(self):
        async with self.session.get("http://localhost") as answer:
            return await answer.json()


class Injected:
    def __init__(self, fetch):
        self._fetch, self._breaker = fetch, pybreaker.CircuitBreaker()

    async def get(self, item):
        return await self._breaker.call(self._fetch, item)  # expect: sync-circuit-breaker

    async def in_thread(self, item):
        return self._breaker.call(self._fetch, item)  # clean: nothing says that it is async


class Tidy:
    def __init__(self):
        self.session = aiohttp.ClientSession()  # clean: closed by aclose
        self._pool = None
        self._client = None
        self._lock = asyncio.Lock()
        self._cache = {}

    async def aclose(self):
        await self.session.close()
        if self._pool:
            await self._pool.close()
        if self._client:
            await self._client.aclose()

    async def pool(self, dsn):
        if self._pool is None:
            self._pool = await asyncpg.create_pool(dsn)  # expect: lazy-init-race
        return self._pool

    async def client(self):
        if not self._client:
            async with self._lock:
                if not self._client:
                    self._client = await self._connect()  # clean: under a lock
        return self._client

    async def _connect(self):
        await asyncio.sleep(0.1)
        return redis.Redis()

    async def cached(self, key):
        if key not in self._cache:
            self._cache[key] = await self._connect()  # expect: lazy-init-race
        return self._cache[key]

    async def cached_at_once(self, key):
        if key not in self._cache:
            self._cache[key] = object()  # clean: nothing is awaited between
        return self._cache[key]


_token = None


async def token():
    global _token
    if _token is None:
        _token = await fetch_token()  # expect: lazy-init-race
    return _token


async def fetch_token():
    await asyncio.sleep(0.1)
    return "t"


async def local_default(value=None):
    if value is None:
        value = await fetch_token()  # clean: a name of this call
    return value


@breaker  # expect: sync-circuit-breaker
async def guarded():
    await asyncio.sleep(0.1)


@breaker
def guarded_sync():
    return 1  # clean: a sync function under a sync breaker


async def calls_guarded():
    return breaker.call(fetch_token)  # expect: sync-circuit-breaker


class Breaker:
    def __init__(self):
        self.failures = 0
        self.lock = threading.Lock()

    def call(self, function, *args):
        try:
            return function(*args)
        except Exception:
            self.failures += 1
            raise


class AsyncBreaker:
    async def call(self, function, *args):
        return await function(*args)


own = Breaker()
own_async = AsyncBreaker()


async def through_own():
    return await own.call(fetch_token)  # expect: sync-circuit-breaker


async def through_async():
    return await own_async.call(fetch_token)  # clean: this breaker awaits


class Both:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None


@contextlib.asynccontextmanager
async def transaction():
    yield 1


@contextlib.contextmanager
def renamed():
    yield 1


async def enters(pool: asyncpg.Pool):
    with Both():  # expect: sync-cm-mixed
        pass
    async with Both():  # clean: entered as it should be
        pass
    with transaction():  # expect: sync-cm-mixed
        pass
    with pool.acquire() as connection:  # expect: sync-cm-mixed
        print(connection)
    async with pool.acquire() as connection, connection.transaction():  # clean: entered as it should be
        print(connection)
    with asyncio.timeout(1):  # expect: sync-cm-mixed
        pass
    with renamed():  # clean: has no async form
        pass
    with contextlib.suppress(ValueError):  # clean: has no async form
        pass


async def waits_without_end(host):
    reader, writer = await asyncio.open_connection(host, 80)  # expect: missing-timeout
    writer.write(b"GET /")
    await writer.drain()
    return await reader.read(100)  # expect: missing-timeout


async def waits_a_while(host):
    async with asyncio.timeout(3):
        reader, writer = await asyncio.open_connection(host, 80)  # clean: in a timeout
    return await asyncio.wait_for(reader.read(100), 3), writer  # clean: in wait_for


async def without_timeout():
    async with httpx.AsyncClient(timeout=None) as client:  # expect: missing-timeout, blocking-file-io
        return await client.get("http://localhost", timeout=3)


async def with_default_timeout():
    async with httpx.AsyncClient() as client:  # expect: blocking-file-io
        return await client.get("http://localhost")
