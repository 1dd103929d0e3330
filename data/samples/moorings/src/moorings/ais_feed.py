"""Positions of vessels, from the AIS receiver on the lighthouse.

Run it beside the API: `asyncio.run(follow("lighthouse", 10110))` never ends.
"""

import asyncio
import logging
import socket
import sys
from typing import AsyncIterator, Optional

from .cache import get_redis

logger = logging.getLogger(__name__)


def parse(line: str) -> Optional[tuple[int, float, float]]:
    parts = line.strip().split(",")
    if len(parts) != 3:
        return None
    return int(parts[0]), float(parts[1]), float(parts[2])


def announce(host: str, port: int) -> None:
    with socket.create_connection((host, port), timeout=5) as sock:
        sock.sendall(b"HELLO moorings\n")


async def positions(host: str, port: int) -> AsyncIterator[tuple[int, float, float]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while line := await reader.readline():
            position = parse(line.decode("ascii", "replace"))
            if position is not None:
                yield position
    finally:
        writer.close()


def remember(mmsi: int, latitude: float, longitude: float) -> None:
    get_redis().geoadd("vessels", (longitude, latitude, str(mmsi)))


async def follow(host: str, port: int) -> None:
    announce(host, port + 1)
    while True:
        try:
            async for position in positions(host, port):
                remember(*position)
        except OSError as error:
            logger.warning("lost the receiver: %s", error)
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            logger.info("stopped")
            break


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[1], int(sys.argv[2])))
