"""Handlers of a bot, as a flat script beside its storage."""

import asyncio
import functools
import time
from concurrent.futures import ThreadPoolExecutor
from time import sleep as pause

import requests as http
import storage
from storage import Voices, cache, minio, remember
from twilio.rest import Client as Sms

voices = Voices("voices")
sms = Sms("sid", "token")
session = http.Session()
executor = ThreadPoolExecutor(4)


async def on_text(user, text):
    seen = cache.get(user)  # expect: blocking-redis
    remember(user, text)  # expect-via: blocking-redis
    return seen


async def on_voice(user, data):
    storage.scratch(data)  # expect-via: blocking-file-io
    voices.upload(user, data)  # expect-via: blocking-sdk
    voices.save_locally(user, data)  # expect-via: blocking-file-io
    print(voices.url(user))  # clean: signing is local
    print(storage.path_of(user))  # clean: joins strings
    return voices.names  # expect-via: blocking-sdk


async def on_login(number):
    sms.messages.create(to=number, from_="+1", body="1234")  # expect: blocking-sdk
    pause(1)  # expect: blocking-sleep


async def on_login_threaded(number):
    send = functools.partial(sms.messages.create, to=number, body="1234")  # clean: a partial calls nothing
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(executor, send)  # clean: run in a thread
    await asyncio.sleep(1)  # clean: the async sleep


async def on_picture(url):
    picture = session.get(url, timeout=5)  # expect: blocking-http
    minio().put_object("pictures", url, picture.raw, -1)  # expect: blocking-sdk
    return picture.json()  # clean: parses what is there


async def on_list():
    for name in storage.each_name("a"):  # expect-via: blocking-sdk
        print(name)
    names = list(storage.each_name("b"))  # expect-via: blocking-sdk
    lazily = storage.each_name("c")  # clean: a generator that has not started
    return names, lazily


async def on_many(urls):
    return [http.get(url).text for url in urls]  # expect: blocking-http


async def on_mapped(urls):
    return list(map(http.get, urls))  # expect: blocking-http


async def on_sorted(names):
    return sorted(names, key=cache.ttl)  # expect: blocking-redis


async def on_called_now(url):
    fetch = functools.partial(http.get, url)
    return fetch()  # expect: blocking-http


async def on_pipeline(user):
    pipe = cache.pipeline()
    pipe.incr(user)  # clean: queued in memory
    pipe.expire(user, 60)  # clean: queued in memory
    pipe.execute()  # expect: blocking-redis


async def poll(number):
    while True:
        if cache.exists(number):  # expect: blocking-redis
            return
        time.sleep(0.5)  # expect: blocking-sleep


def worker():
    time.sleep(10)  # clean: sync code


async def started():
    import threading

    threading.Thread(target=worker, daemon=True).start()  # clean: a thread of its own
    executor.submit(worker)  # clean: run in a thread
    await asyncio.to_thread(time.sleep, 1)  # clean: run in a thread


async def shadowed(open, time):
    open("x")  # clean: a parameter, not the built-in
    time.sleep(3)  # clean: a parameter, not the module


async def rebound():
    sleep = asyncio.sleep
    await sleep(1)  # clean: the async sleep


class Clock:
    def sleep(self, seconds):
        self.at = seconds


async def faked():
    time = Clock()
    time.sleep(3)  # clean: a class of this file
