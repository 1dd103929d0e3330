"""Command-line tools and threads that run one loop for good; methods named like a loop's."""

import asyncio
import functools
import threading

import click

gate = asyncio.Semaphore(3)


def coro(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return asyncio.run(function(*args, **kwargs))  # clean: once for the command

    return wrapper


@click.group()
def tool():
    pass


@tool.command()
@coro
async def pull():
    async with gate:  # clean: one command a process
        await asyncio.sleep(0)


async def put():
    async with gate:
        await asyncio.sleep(0)


@tool.command()
def push():
    asyncio.run(put())  # clean: one command a process


@tool.command()
def again():
    asyncio.run(put())  # clean: one command a process


def sync_view(function):
    def wrapper(*args):
        return asyncio.run(function(*args))  # expect: loop-per-call

    return wrapper


class Views:
    @sync_view
    async def show(self):
        await asyncio.sleep(0)


class Background:
    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=asyncio.run, args=(self.serve(),), daemon=True)  # clean: for good
        self.thread.start()

    async def serve(self):
        await asyncio.Event().wait()


class Hub:
    def call_later(self, delay, job, *args):
        self.jobs = [(delay, job, args)]

    def submit(self, job):
        self.jobs = [job]


class Player:
    def __init__(self, hub: Hub, mass):
        self.hub = hub
        self.mass = mass

    async def poll(self):
        await asyncio.sleep(0)

    def start(self, loop):
        self.hub.call_later(5, self.poll)  # clean: the hub's own, which awaits it
        self.hub.submit(self.poll)  # clean: the hub's own
        self.mass.call_later(5, self.poll)  # clean: nothing says that this is a loop
        loop.call_later(5, self.poll)  # expect: unawaited-coroutine
