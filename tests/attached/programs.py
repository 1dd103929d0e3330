"""Programs that `loopclinic attach` is tried on: run as `python programs.py NAME`, with no kit beside them.

Each prints `ready` and is at the line marked HERE from then on, or its loop is free; MORE than one line may be marked where
several take turns. Python 3.11 to 3.15, standard library and uvloop only.
"""

import asyncio
import concurrent.futures
import hashlib
import inspect
import os
import queue
import re
import select
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

PROGRAMS = {}
"""Name -> function, and what `--once` is to say: `stuck`, `free` or `none`; the conflict, or None for any."""
LONG = 300


def program(expected, conflict=None, since=(3, 11)):
    def add(function):
        PROGRAMS[function.__name__] = function, expected, conflict, since
        return function

    return add


def marked(name):
    """Return the lines that are marked in a program."""
    lines, first = inspect.getsourcelines(PROGRAMS[name][0])
    return {first + index for index, line in enumerate(lines) if "# HERE" in line}


def ready():
    print("ready", flush=True)


async def waiters(number):
    async def other():
        await asyncio.sleep(LONG)

    kept = [asyncio.create_task(other()) for _ in range(number)]
    await asyncio.sleep(0)
    return kept


@program("stuck", "blocking-sleep")
async def sleep():
    kept = await waiters(11)
    ready()
    time.sleep(LONG)  # HERE
    del kept


@program("stuck", "blocking-sleep")
async def sleep_below_helpers():
    def outer():
        middle()

    def middle():
        inner()

    def inner():
        time.sleep(LONG)  # HERE

    ready()
    outer()


@program("stuck", "blocking-sleep")
async def sleep_in_a_callback():
    def late():
        ready()
        time.sleep(LONG)  # HERE

    asyncio.get_running_loop().call_later(0.01, late)
    await asyncio.sleep(LONG)


@program("stuck", "blocking-sleep")
def sleep_in_debug_mode():
    async def main():
        ready()
        time.sleep(LONG)  # HERE

    asyncio.run(main(), debug=True)


@program("stuck", "blocking-sleep")
async def sleep_in_a_task_group():
    async def child():
        await asyncio.sleep(0.01)
        ready()
        time.sleep(LONG)  # HERE

    async with asyncio.TaskGroup() as group:
        group.create_task(child())
        group.create_task(asyncio.sleep(LONG))


@program("stuck", "blocking-sleep", since=(3, 12))
async def sleep_in_an_eager_task():
    async def child():
        ready()
        time.sleep(LONG)  # HERE

    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    await asyncio.create_task(child())


@program("stuck", "blocking-sleep")
async def sleep_in_an_async_generator():
    async def numbers():
        yield 1
        ready()
        time.sleep(LONG)  # HERE

    async for _ in numbers():
        pass


@program("stuck", "blocking-sleep")
async def sleep_below_a_recursion():
    def deeper(left):
        if left:
            return deeper(left - 1)
        ready()
        time.sleep(LONG)  # HERE
        return None

    deeper(400)


@program("stuck", "blocking-sleep")
async def sleep_in_a_property():
    class Account:
        @property
        def balance(self):
            ready()
            time.sleep(LONG)  # HERE

    _ = Account().balance


@program("stuck", "blocking-sleep")
def sleep_in_a_loop_of_a_thread():
    async def main():
        ready()
        time.sleep(LONG)  # HERE

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="background")
    thread.start()
    thread.join()


@program("stuck", "blocking-sleep")
def sleep_in_one_of_two_loops():
    async def main():
        ready()
        time.sleep(LONG)  # HERE

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    asyncio.run(asyncio.sleep(LONG))


@program("stuck", "blocking-sleep")
def sleep_in_run_forever():
    def late():
        ready()
        time.sleep(LONG)  # HERE

    loop = asyncio.new_event_loop()
    loop.call_soon(late)
    loop.run_forever()


@program("stuck", "cpu-bound")
async def compute():
    ready()
    number = 0
    while True:  # HERE
        number += 1  # HERE


@program("stuck", "cpu-bound")
async def compute_in_a_helper():
    def work():
        return [index * index for index in range(1000)]

    ready()
    while True:
        work()


@program("stuck", "cpu-bound")
async def one_call_that_keeps_the_gil():
    ready()
    sum(range(10**12))  # HERE


@program("stuck", "cpu-bound")
async def a_regular_expression():
    ready()
    re.match(r"(a+)+$", "a" * 60 + "b")  # HERE


@program("stuck")
async def one_call_that_releases_the_gil():
    ready()
    hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 2**31 - 1)  # HERE


@program("stuck", "blocking-sync-primitive")
async def a_lock():
    lock = threading.Lock()
    lock.acquire()
    ready()
    lock.acquire()  # HERE


@program("stuck", "blocking-sync-primitive")
def a_lock_by_with():
    lock = threading.Lock()

    async def main():
        lock.acquire()
        ready()
        with lock:  # HERE
            pass

    asyncio.run(main())


@program("stuck", "blocking-sync-primitive")
async def an_event():
    ready()
    threading.Event().wait()  # HERE


@program("stuck", "blocking-sync-primitive")
async def a_queue():
    ready()
    queue.Queue().get()  # HERE


@program("stuck", "blocking-sync-primitive")
async def a_future_of_a_pool():
    pool = concurrent.futures.ThreadPoolExecutor(1)
    future = pool.submit(time.sleep, LONG)
    ready()
    future.result()  # HERE


@program("stuck", "blocking-sync-primitive")
async def a_thread_that_is_joined():
    thread = threading.Thread(target=time.sleep, args=(LONG,), daemon=True)
    thread.start()
    ready()
    thread.join()  # HERE


@program("stuck", "blocking-subprocess")
async def a_child_process():
    ready()
    subprocess.run(["sleep", "30"], check=False)  # HERE


@program("stuck", "blocking-net")
async def a_socket():
    left, right = socket.socketpair()
    ready()
    left.recv(1)  # HERE
    del right


@program("stuck", "blocking-input")
async def the_keyboard():
    ready()
    input()  # HERE


@program("stuck")
async def a_pipe():
    reading, _ = os.pipe()
    ready()
    os.read(reading, 1)  # HERE


@program("stuck", "blocking-file-io")
async def a_file():
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(f"{folder}/fifo")
        ready()
        open(f"{folder}/fifo").read()  # HERE # noqa: PTH123, SIM115


@program("stuck")
async def a_selector_of_its_own():
    left, right = socket.socketpair()
    ready()
    select.select([left], [], [])  # HERE
    del right


@program("stuck", "blocking-db")
async def a_locked_database():
    with tempfile.TemporaryDirectory() as folder:
        writer = sqlite3.connect(f"{folder}/orders.db")
        writer.execute("create table orders (id)")
        writer.execute("begin exclusive")
        reader = sqlite3.connect(f"{folder}/orders.db", timeout=LONG)
        cursor = reader.cursor()
        ready()
        cursor.execute("select * from orders")  # HERE


@program("stuck", "cpu-bound")
async def a_thread_that_keeps_the_gil():
    def work():
        time.sleep(0.2)
        if not os.fork():  # another process says it: this one can't, once the call has begun
            time.sleep(0.3)
            ready()
            os._exit(0)
        sum(range(10**12))  # HERE

    threading.Thread(target=work, daemon=True).start()
    while True:
        await asyncio.sleep(0.05)


@program("stuck", "blocking-sleep")
def a_loop_of_its_own_kind():
    class Loop(asyncio.SelectorEventLoop):
        def time(self):
            return 12345.0

    async def main():
        ready()
        time.sleep(LONG)  # HERE

    loop = Loop()
    loop.run_until_complete(main())


@program("stuck", "blocking-sleep")
def uvloop_sleep():
    import uvloop

    async def main():
        kept = await waiters(3)
        ready()
        time.sleep(LONG)  # HERE
        del kept

    asyncio.run(main(), loop_factory=uvloop.new_event_loop) if sys.version_info >= (
        3,
        12,
    ) else uvloop.run(main())


@program("stuck", "blocking-sleep")
def uvloop_callback():
    import uvloop

    def late():
        ready()
        time.sleep(LONG)  # HERE

    loop = uvloop.new_event_loop()
    loop.call_later(0.05, late)
    loop.run_forever()


@program("stuck", "cpu-bound")
def uvloop_compute():
    import uvloop

    async def main():
        ready()
        while True:  # HERE
            sum(range(1000))  # HERE

    uvloop.new_event_loop().run_until_complete(main())


@program("free")
async def idle():
    ready()
    await asyncio.sleep(LONG)


@program("free")
async def an_idle_server():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    ready()
    await server.serve_forever()


@program("free")
async def a_busy_loop():
    ready()
    while True:
        sum(range(1000))
        await asyncio.sleep(0)


@program("free")
async def many_busy_tasks():
    async def work():
        while True:
            await asyncio.sleep(0)

    kept = [asyncio.create_task(work()) for _ in range(100)]
    ready()
    await asyncio.gather(*kept)


@program("free")
async def a_full_pool():
    loop = asyncio.get_running_loop()
    kept = [loop.run_in_executor(None, time.sleep, 30) for _ in range(100)]
    ready()
    await asyncio.gather(*kept)


@program("free")
async def a_thread_that_computes():
    def work():
        number = 0
        while True:
            number += 1

    threading.Thread(target=work, daemon=True).start()
    ready()
    while True:
        await asyncio.sleep(0.01)


@program("free")
def uvloop_idle():
    import uvloop

    async def main():
        ready()
        await asyncio.sleep(LONG)

    uvloop.new_event_loop().run_until_complete(main())


@program("free")
def a_busy_uvloop():
    import uvloop

    async def main():
        ready()
        while True:
            sum(range(1000))
            await asyncio.sleep(0)

    uvloop.new_event_loop().run_until_complete(main())


@program("none")
def no_loop():
    ready()
    time.sleep(LONG)


@program("none")
def a_loop_that_is_over():
    asyncio.run(asyncio.sleep(0))
    ready()
    time.sleep(LONG)


if __name__ == "__main__":
    chosen = PROGRAMS[sys.argv[1]][0]
    if inspect.iscoroutinefunction(chosen):
        asyncio.run(chosen())
    else:
        chosen()
