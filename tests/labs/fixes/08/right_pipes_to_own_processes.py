"""Processes of its own, which read pickled calls from a pipe."""

import asyncio
import pickle
import struct
import sys

import bcrypt

NOBODY = b"$2b$12$E9EN8h9Q0GULJvLkt6Bc/e5na7Iy4wjpmsfu3ZwrkHZPs.wJ1EfA."


class NameTakenError(ValueError):
    pass


class WeakPasswordError(ValueError):
    pass


class Passwords:
    def hashed(self, password):
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt())

    def matches(self, password, hashed):
        return bcrypt.checkpw(password.encode(), hashed)

    def strength(self, password):
        if len(set(password)) < 8:
            raise WeakPasswordError("Choose a longer password.")
        return len(password)


WORKER = """
import pickle, struct, sys
read, write = sys.stdin.buffer, sys.stdout.buffer
sys.path[:] = pickle.loads(read.read(struct.unpack("I", read.read(4))[0]))
while size := read.read(4):
    try:
        function, values = pickle.loads(read.read(struct.unpack("I", size)[0]))
        answer = pickle.dumps((True, function(*values)))
    except Exception as error:
        answer = pickle.dumps((False, error))
    write.write(struct.pack("I", len(answer)) + answer)
    write.flush()
"""


def framed(value):
    data = pickle.dumps(value)
    return struct.pack("I", len(data)) + data


class Accounts:
    def __init__(self, passwords, *, workers=2):
        self._passwords, self._hashes = passwords, {}
        self._free, self._workers, self._closed = asyncio.Queue(), workers, False
        for _ in range(workers):
            self._free.put_nowait(None)

    async def register(self, name, password):
        if name in self._hashes:
            raise NameTakenError(name)
        self._hashes[name] = NOBODY
        try:
            await self._enroll(name, password)
        except BaseException:
            del self._hashes[name]
            raise

    async def _enroll(self, name, password):
        process = await self._get()
        work = asyncio.ensure_future(self._both(process, password))
        self._hashes[name] = await asyncio.shield(work)

    async def _both(self, process, password):
        try:
            await self._ask(process, self._passwords.strength, password)
            return await self._ask(process, self._passwords.hashed, password)
        finally:
            self._free.put_nowait(process)

    async def verify(self, name, password):
        hashed = self._hashes.get(name, NOBODY)
        process = await self._get()
        work = asyncio.ensure_future(self._match(process, password, hashed))
        return await asyncio.shield(work)

    async def _match(self, process, password, hashed):
        try:
            return await self._ask(process, self._passwords.matches, password, hashed)
        finally:
            self._free.put_nowait(process)

    async def close(self):
        self._closed = True
        processes = [await self._free.get() for _ in range(self._workers)]
        for process in filter(None, processes):
            process.stdin.close()
            await process.wait()

    async def _get(self):
        if self._closed:
            raise RuntimeError("closed")
        process = await self._free.get()
        if process is None:
            try:
                pipe = asyncio.subprocess.PIPE
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", WORKER, stdin=pipe, stdout=pipe
                )
                process.stdin.write(framed(sys.path))
            except BaseException:
                self._free.put_nowait(None)
                raise
        return process

    async def _ask(self, process, function, *values):
        process.stdin.write(framed((function, values)))
        await process.stdin.drain()
        (size,) = struct.unpack("I", await process.stdout.readexactly(4))
        well, value = pickle.loads(await process.stdout.readexactly(size))
        if well:
            return value
        raise value
