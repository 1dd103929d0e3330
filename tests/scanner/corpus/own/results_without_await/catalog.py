"""A shop's catalog: what is loaded is used before it is awaited, in every way that occurs."""

import asyncio


async def load(shelf):
    await asyncio.sleep(0)
    return [shelf]


class Catalog:
    async def entry(self, key):
        await asyncio.sleep(0)
        return {"key": key}

    async def name(self, key):
        entry = self.entry(key)  # expect: unawaited-coroutine
        return entry["name"]

    async def price(self, key):
        entry = self.entry(key)
        entry = await entry  # clean: awaited after all
        return entry["price"]

    async def tags(self, key):
        return self.entry(key).get("tags")  # expect: unawaited-coroutine


async def report(catalog: Catalog, count):
    first = load(1)  # expect: unawaited-coroutine
    print(first[0])
    if load(2) == []:  # expect: unawaited-coroutine
        return
    for book in load(3):  # expect: unawaited-coroutine
        print(book)
    print(f"{load(4)} are new")  # expect: unawaited-coroutine
    number = len(load(5))  # expect: unawaited-coroutine
    [load(shelf) for shelf in range(number)]  # expect: unawaited-coroutine
    load(6) if count else None  # expect: unawaited-coroutine
    count and load(7)  # expect: unawaited-coroutine
    with load(8) as shelf:  # expect: unawaited-coroutine
        print(shelf)
    entry = catalog.entry("a")  # expect: unawaited-coroutine
    print(entry.keys())


async def fixed(catalog: Catalog, count):
    first = await load(1)
    print(first[0])
    for book in await load(3):
        print(book)
    number = len(await load(5))
    rows = [load(shelf) for shelf in range(number)]  # clean: gathered below
    for row in await asyncio.gather(*rows):
        print(row)
    unused = load(9)
    unused.close()  # clean: a coroutine has that method
    later = load(10) if count else None
    if later is not None:  # clean: only whether there is one is asked
        await later
    task = asyncio.create_task(catalog.entry("a"))
    task.set_name("entry")  # clean: a task's own method
    print(await task)
    last = load(11)
    print((await last)[0])


def waits_as_before_3_5():
    yield from load(1)  # clean: how a generator awaited before Python 3.5


def in_a_thread(catalog: Catalog):
    entry = asyncio.run(catalog.entry("a"))  # expect: loop-per-call
    return entry["name"]  # clean: run has awaited it
