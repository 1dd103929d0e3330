"""Callbacks that run on the loop, registered by sync code."""

import asyncio
import functools
import signal
import socket
import subprocess
import time


def save():
    time.sleep(0.2)


def note():
    return "noted"


class Gauge:
    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket):
        self._loop = loop
        self._sock = sock

    def start(self):
        self._loop.call_later(5, self._beat)  # expect-via: blocking-subprocess
        self._loop.call_soon(note)  # clean: returns at once
        self._loop.add_reader(self._sock.fileno(), self._ready)  # expect-via: blocking-sleep

    def _beat(self):
        subprocess.run(["date"], check=True)
        self._loop.call_at(0, functools.partial(self._save, "beat"))  # expect-via: blocking-sleep

    def _save(self, what):
        save()

    def _ready(self):
        save()

    def listen(self):
        self._loop.add_reader(self._sock, self._receive)  # clean: called when there is something to read

    def _receive(self):
        self._sock.recv(10)

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)  # clean: the loop's own
        self._loop.run_in_executor(None, save)  # clean: in a thread


def finished(task):
    save()


def watch(work):
    task = asyncio.ensure_future(work)
    task.add_done_callback(finished)  # expect-via: blocking-sleep
    task.add_done_callback(lambda done: print(done))  # clean: prints
    return task


def arm(loop):
    loop.add_signal_handler(signal.SIGHUP, save)  # expect-via: blocking-sleep
    loop.call_soon(lambda: time.sleep(1))  # expect-via: blocking-sleep
    loop.call_later(1, time.sleep, 2)  # expect: blocking-sleep


async def begin(gauge: Gauge):
    gauge.start()  # clean: what it arms is told where it is armed
    await asyncio.sleep(1)


def main():
    loop = asyncio.new_event_loop()
    loop.call_soon(save)  # expect-via: blocking-sleep
    loop.run_forever()
