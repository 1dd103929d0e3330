"""Adapters between sync callers and async services."""

import asyncio
import queue
import subprocess
import threading
from concurrent import interpreters
from concurrent.futures import Future, InterpreterPoolExecutor, ThreadPoolExecutor, as_completed

import nest_asyncio
import nest_asyncio2
from asgiref.sync import sync_to_async
from celery import Celery, shared_task
from flask import Flask

app = Flask(__name__)
celery = Celery("adapters")
lock = threading.Lock()
gate = asyncio.Lock()  # expect: loop-bound-primitive
quiet = asyncio.Lock()  # clean: one loop uses it


async def charge(order):
    async with gate:
        await asyncio.sleep(0.1)
    return order


class Billing:
    def charge(self, order):
        return asyncio.run(charge(order))  # expect: loop-per-call

    def charge_by_hand(self, order):
        loop = asyncio.new_event_loop()  # expect: loop-per-call
        try:
            return loop.run_until_complete(charge(order))
        finally:
            loop.close()

    def charge_by_lookup(self, order):
        loop = asyncio.get_event_loop()  # expect: get-event-loop
        return loop.run_until_complete(charge(order))


@app.route("/charge")
def charge_route():
    return asyncio.run(charge("o"))  # expect: loop-per-call


@app.route("/later")
def charge_later():
    order = {}

    def run():
        loop = asyncio.new_event_loop()  # expect: loop-per-call
        loop.run_until_complete(charge(order))

    threading.Thread(target=run, daemon=True).start()


class Hooks:
    def __init__(self):
        threading.Thread(target=self.serve, args=(queue.Queue(),), daemon=True).start()
        app.add_url_rule("/paid", view_func=self.paid)

    def serve(self, orders):
        asyncio.run(charge(orders))  # clean: one thread for the program

    def paid(self):
        order = app.request.get_json()
        threading.Thread(target=self.store, args=[order], daemon=True).start()
        return "", 204

    def store(self, order):
        loop = asyncio.new_event_loop()  # expect: loop-per-call
        loop.run_until_complete(charge(order))
        loop.close()

    def start_reports(self, orders):
        threading.Thread(target=self.report, args=(orders,)).start()

    def report(self, orders):
        asyncio.run(charge(orders))  # clean: started once, with the service

    def charge_aside(self, order):
        thread = threading.Thread(target=self.settle, args=(order,))
        thread.start()
        thread.join()

    def settle(self, order):
        asyncio.run(charge(order))  # clean: charge_aside waits for its thread

    def refund(self, order):
        threading.Timer(5, self.pay_back, kwargs={"order": order}).start()

    def pay_back(self, order):
        asyncio.run(charge(order))  # expect: loop-per-call

    def watch(self):
        self.watcher = threading.Thread(target=self.look)
        self.watcher.start()

    def look(self):
        asyncio.run(charge("o"))  # expect: loop-per-call

    def look_again(self, order):
        self.look()


@shared_task
def charge_task(order):
    asyncio.run(charge(order))  # clean: a Celery task has no loop of its own


@celery.task(bind=True)
def charge_bound_task(self, order):
    asyncio.run(charge(order))  # clean: a Celery task has no loop of its own


class Background:
    def __init__(self):
        self.loop = asyncio.new_event_loop()  # clean: kept, and run for good
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def call(self, order):
        return asyncio.run_coroutine_threadsafe(charge(order), self.loop).result(5)  # clean: sync code

    async def call_from_async(self, order):
        return asyncio.run_coroutine_threadsafe(charge(order), self.loop).result(5)  # expect: blocking-sync-primitive


async def nested(order):
    asyncio.run(charge(order))  # expect: nested-loop


async def nested_by_adapter(order):
    return Billing().charge(order)  # expect-via: nested-loop


async def patched():
    nest_asyncio.apply()  # expect: nested-loop


async def patched_by_the_successor():
    nest_asyncio2.apply()  # expect: nested-loop


async def running():
    return asyncio.get_event_loop()  # clean: the running loop


def schedule(callback):
    asyncio.get_event_loop().call_soon(callback)  # clean: only async code calls this


async def scheduled():
    schedule(print)


async def locked(order):
    with lock:  # expect: thread-lock-in-async
        await charge(order)


async def locked_briefly(order):
    with lock:  # clean: nothing is awaited while it is held
        order["seen"] = True


async def acquired(order):
    lock.acquire()  # expect: blocking-sync-primitive
    try:
        order["seen"] = True
    finally:
        lock.release()


async def tried(order):
    if lock.acquire(blocking=False):  # clean: does not wait
        lock.release()


async def async_lock(order):
    async with quiet:  # clean: the loop's own lock
        await asyncio.sleep(0.1)


class Inbox:
    def __init__(self):
        self.items = queue.Queue()
        self.few = queue.Queue(maxsize=10)
        self.done = threading.Event()
        self.own = asyncio.Queue()

    async def take(self):
        return self.items.get()  # expect: blocking-sync-primitive

    async def take_now(self):
        return self.items.get_nowait()  # clean: does not wait

    async def take_if_any(self):
        return self.items.get(block=False)  # clean: does not wait

    async def add(self, item):
        self.items.put(item)  # clean: without a size, put never waits

    async def add_to_few(self, item):
        self.few.put(item)  # expect: blocking-sync-primitive

    async def finished(self):
        self.done.wait()  # expect: blocking-sync-primitive

    async def take_own(self):
        return await self.own.get()  # clean: the loop's own queue


def work(item):
    return item


async def pooled(items):
    with ThreadPoolExecutor() as pool:  # clean: its threads are done by then
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, work, items)


async def waited(pool: ThreadPoolExecutor, items):
    future = pool.submit(work, items)
    return future.result()  # expect: blocking-sync-primitive


async def waited_for_another_interpreter(items):
    with InterpreterPoolExecutor() as pool:  # clean: its threads are done by then
        future = pool.submit(work, items)
        await asyncio.wrap_future(future)  # clean: awaited
        return future.exception() or pool.submit(work, items).result()  # expect: blocking-sync-primitive


async def left_to_another_interpreter(items):
    pool = InterpreterPoolExecutor()
    await asyncio.get_running_loop().run_in_executor(pool, work, items)
    pool.shutdown()  # expect: blocking-sync-primitive


async def called_in_another_interpreter(items):
    interpreter = interpreters.create()
    thread = interpreter.call_in_thread(work, items)  # clean: it goes on
    thread.join()  # expect: blocking-sync-primitive
    return interpreter.call(work, items)  # expect: cpu-bound


async def asked_another_interpreter():
    answers = interpreters.create_queue()
    answers.put(1)  # clean: it has no bound
    return answers.get()  # expect: blocking-sync-primitive


async def waited_for_all(pool: ThreadPoolExecutor, items):
    futures = [pool.submit(work, item) for item in items]
    for future in as_completed(futures):  # expect: blocking-sync-primitive
        print(future)


async def wrapped(pool: ThreadPoolExecutor, item):
    return await asyncio.wrap_future(pool.submit(work, item))  # clean: awaited


async def joined(thread: threading.Thread):
    thread.join()  # expect: blocking-sync-primitive


async def task_result(task: asyncio.Task):
    await asyncio.wait([task])
    return task.result()  # clean: a task's result does not wait


async def future_result(future: Future):
    return future.result()  # expect: blocking-sync-primitive


async def compiled(source):
    subprocess.run(["cc", source], check=True)  # expect: blocking-subprocess
    return subprocess.check_output(["./a.out"])  # expect: blocking-subprocess


async def spawned(source):
    process = subprocess.Popen(["cc", source])  # expect: blocking-subprocess
    return process.communicate()  # expect: blocking-subprocess


async def spawned_async(source):
    process = await asyncio.create_subprocess_exec("cc", source)  # clean: the loop's own
    await process.wait()


@sync_to_async
def offloaded():
    subprocess.run(["sleep", "1"], check=True)  # clean: the decorator runs it in a thread


async def calls_offloaded():
    await offloaded()  # clean: the decorator runs it in a thread


def ticker(loop: asyncio.AbstractEventLoop):
    def tick():
        subprocess.call(["date"])

    return tick


def beat():
    subprocess.call(["date"])


async def later():
    loop = asyncio.get_running_loop()
    loop.call_later(1, beat)  # expect-via: blocking-subprocess
    loop.call_soon(print, "x")  # clean: prints


async def asked():
    return input("really? ")  # expect: blocking-input


def main():
    asyncio.run(charge("o"))  # clean: the program's one loop


if __name__ == "__main__":
    main()
