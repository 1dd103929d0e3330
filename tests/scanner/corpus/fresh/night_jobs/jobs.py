import asyncio
import csv
import glob
import hashlib

import aiofiles
import aiohttp


def checksum(path):
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while chunk := source.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def rows(path):
    with open(path, newline="") as source:
        yield from csv.DictReader(source)


class Job:
    name = "job"

    async def run(self):
        raise NotImplementedError


class Checksums(Job):
    async def run(self):
        for path in sorted(glob.glob("/data/*.bin")):  # expect: blocking-file-io
            print(path, checksum(path))  # expect-via: blocking-file-io


class Import(Job):
    async def run(self):
        reader = rows("/data/new.csv")  # clean: a generator, not begun
        return await asyncio.to_thread(list, reader)  # clean: read in a thread


class Notify(Job):
    async def run(self):
        session = aiohttp.ClientSession()  # expect: unclosed-resource
        async with session.post("https://example.org/hook", timeout=aiohttp.ClientTimeout(5)) as reply:
            print(reply.status)

    async def log(self, text):
        async with aiofiles.open("/var/log/night.log", "a") as out:
            await out.write(text)  # clean: aiofiles


class Everything(Job):
    def __init__(self, jobs):
        self.jobs = jobs

    async def run(self):
        await asyncio.gather(*(job.run() for job in self.jobs), return_exceptions=True)  # expect: dropped-gather-results


if __name__ == "__main__":
    asyncio.run(Everything([Checksums(), Import(), Notify()]).run())  # clean: the program's one loop
