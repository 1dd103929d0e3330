import asyncio
import hashlib
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from .sources import _download

_threads = ThreadPoolExecutor(4)
_processes = ProcessPoolExecutor(1)


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _primes(limit: int) -> int:
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit))


async def checksum(path: Path) -> str:
    return _checksum(path)  # expect-via: blocking-file-io


async def checksums(paths: list[Path]) -> list[str]:
    loop = asyncio.get_running_loop()
    return await asyncio.gather(*(loop.run_in_executor(_threads, _checksum, one) for one in paths))  # clean: four threads bound it


async def primes() -> int:
    return _primes(2_000_000)  # expect-via: cpu-bound


async def primes_well() -> int:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_processes, _primes, 2_000_000)  # clean: another process


async def histogram(words: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1  # clean: a dictionary
    return counts


async def key(password: str) -> bytes:
    return hashlib.scrypt(password.encode(), salt=b"etl", n=2**14, r=8, p=1)  # expect: cpu-bound


async def fetch_all(host: str, paths: list[str]) -> list[bytes]:
    limit = asyncio.Semaphore(4)

    async def one(path: str) -> bytes:
        async with limit:
            return await asyncio.to_thread(_download, host, path)  # clean: in a thread

    return await asyncio.gather(*map(one, paths))  # clean: four at a time


if __name__ == "__main__":
    print(asyncio.run(checksum(Path(sys.argv[1]))))  # clean: once, at the entry point
