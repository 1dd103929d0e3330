"""Tasks, gathers, waits and cancellation in a service."""

import asyncio
import contextlib
from asyncio import CancelledError, create_task, gather

import aiohttp


async def fetch(session, url):
    async with session.get(url) as answer:
        return await answer.text()


async def notify(user):
    await asyncio.sleep(0.1)
    return user


class Service:
    def __init__(self):
        self._tasks = set()
        self._task = None
        self._limit = asyncio.Semaphore(5)

    async def dropped(self, user):
        asyncio.create_task(notify(user))  # expect: dropped-task

    async def dropped_by_name(self, user):
        task = create_task(notify(user))  # expect: dropped-task

    async def dropped_into_underscore(self, user):
        _ = asyncio.ensure_future(notify(user))  # expect: dropped-task

    async def dropped_by_loop(self, user):
        loop = asyncio.get_running_loop()
        loop.create_task(notify(user))  # expect: dropped-task

    async def kept(self, user):
        task = asyncio.create_task(notify(user))  # clean: kept in a set
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def kept_as_attribute(self, user):
        self._task = asyncio.create_task(notify(user))  # clean: kept as an attribute

    async def grouped(self, users):
        async with asyncio.TaskGroup() as group:
            group.create_task(notify("a"))  # clean: the group keeps it
            group.create_task(notify("b"))  # clean: the group keeps it

    async def returned(self, user):
        return asyncio.create_task(notify(user))  # clean: the caller keeps it

    async def forgotten(self, user):
        notify(user)  # expect: unawaited-coroutine

    async def forgotten_method(self, user):
        self.kept(user)  # expect: unawaited-coroutine

    async def forgotten_sleep(self):
        asyncio.sleep(1)  # expect: unawaited-coroutine

    async def forgotten_result(self, user):
        answer = notify(user)  # expect: unawaited-coroutine

    async def passed_on(self, user):
        coroutine = notify(user)  # clean: awaited below
        return await coroutine

    async def collected(self, users):
        waiting = [notify(user) for user in users[:3]]  # clean: gathered below
        return await gather(*waiting)

    async def errors_dropped(self, users):
        await asyncio.gather(notify("a"), notify("b"), return_exceptions=True)  # expect: dropped-gather-results

    async def errors_dropped_by_name(self, users):
        results = await gather(notify("a"), notify("b"), return_exceptions=True)  # expect: dropped-gather-results

    async def errors_seen(self, users):
        results = await gather(notify("a"), notify("b"), return_exceptions=True)  # clean: looked at below
        for result in results:
            if isinstance(result, Exception):
                print(result)

    async def errors_raised(self):
        await gather(notify("a"), notify("b"))  # clean: errors are raised

    async def stop(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)  # clean: they were cancelled

    async def everything_at_once(self, users):
        return await asyncio.gather(*[notify(user) for user in users])  # expect: unbounded-gather

    async def everything_at_once_by_list(self, users):
        waiting = []
        for user in users:
            waiting.append(notify(user))
        return await asyncio.gather(*waiting)  # expect: unbounded-gather

    async def everything_at_once_by_map(self, users):
        return await asyncio.gather(*map(notify, users))  # expect: unbounded-gather

    async def _limited(self, user):
        async with self._limit:
            return await notify(user)

    async def five_at_once(self, users):
        return await asyncio.gather(*[self._limited(user) for user in users])  # clean: a semaphore inside

    async def three_at_once(self):
        return await asyncio.gather(*[notify(user) for user in ("a", "b", "c")])  # clean: three

    async def in_turn(self, users):
        found = []
        for user in users:
            found.append(await notify(user))  # expect: sequential-awaits
        return found

    async def in_turn_by_comprehension(self, users):
        return [await notify(user) for user in users]  # expect: sequential-awaits

    async def page_by_page(self, cursor):
        pages = []
        while cursor:
            page = await self.next_page(cursor)  # clean: each needs the one before
            pages.append(page)
            cursor = page["next"]
        return pages

    async def next_page(self, cursor):
        return await notify(cursor)

    async def profile(self, user):
        orders = await self.fetch_orders(user)  # expect: sequential-awaits
        friends = await self.fetch_friends(user)
        return orders, friends

    async def fetch_orders(self, user):
        return await notify(user)

    async def fetch_friends(self, user):
        return await notify(user)

    async def dependent(self, user):
        orders = await self.fetch_orders(user)  # clean: the next needs it
        friends = await self.fetch_friends(orders)
        return friends


async def swallow_all():
    try:
        await notify("a")
    except:  # expect: swallowed-cancellation
        pass


async def swallow_base():
    try:
        await notify("a")
    except BaseException as error:  # expect: swallowed-cancellation
        print(error)


async def swallow_in_a_loop():
    while True:
        try:
            await notify("a")
        except asyncio.CancelledError:  # expect: swallowed-cancellation
            continue


async def swallow_in_a_tuple():
    try:
        await notify("a")
    except (ValueError, CancelledError):  # expect: swallowed-cancellation
        return None


async def swallow_by_suppress():
    with contextlib.suppress(asyncio.CancelledError):  # expect: swallowed-cancellation
        await notify("a")


async def catch_exception():
    try:
        await notify("a")
    except Exception:  # clean: CancelledError is no Exception
        pass


async def clean_up():
    try:
        await notify("a")
    except BaseException:  # clean: raised again
        print("cleaned up")
        raise


async def let_through():
    try:
        await notify("a")
    except asyncio.CancelledError:
        raise
    except BaseException:  # clean: cancellation went through above
        pass


async def no_await_inside():
    try:
        int("x")
    except:  # clean: nothing is awaited in the try
        pass


async def stop_worker(task):
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:  # clean: this function cancelled it
        pass


async def stop_worker_shorter(task):
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):  # clean: this function cancelled it
        await task


def sync_catch():
    try:
        int("x")
    except BaseException:  # clean: sync code
        pass
