"""Decorators and wrappers: some offload, some only seem to."""

import asyncio
import functools
import time


def offload(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, functools.partial(function, *args, **kwargs))

    return wrapper


def threaded(executor):
    def decorate(function):
        @functools.wraps(function)
        async def wrapper(*args):
            return await asyncio.get_running_loop().run_in_executor(executor, function, *args)

        return wrapper

    return decorate


def timed(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            print(time.perf_counter() - started)

    return wrapper


def slowed(function):
    def wrapper(*args, **kwargs):
        time.sleep(0.1)
        return function(*args, **kwargs)

    return wrapper


async def in_thread(function, *args):
    return await asyncio.to_thread(function, *args)


def call(function, *args):
    return function(*args)


def call_twice(function):
    call(function)
    return call(function)


def run_later(function, *args):
    return asyncio.get_running_loop().run_in_executor(None, function, *args)
