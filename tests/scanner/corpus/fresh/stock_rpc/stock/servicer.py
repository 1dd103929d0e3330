import asyncio
import time

import grpc
from google.protobuf import empty_pb2

from . import postgres
from .ports import StockReader
from .postgres import Gateway, PostgresStock

DSN = "dbname=stock"


class Levels:
    """What was looked up lately."""

    def __init__(self, seconds: float = 5.0):
        self.seconds = seconds
        self._kept = {}

    def get(self, sku):
        value, until = self._kept.get(sku, (None, 0.0))
        return value if until > time.monotonic() else None

    def put(self, sku, value):
        self._kept[sku] = (value, time.monotonic() + self.seconds)


class StockServicer:
    def __init__(self, reader: StockReader, levels: Levels):
        self.reader = reader
        self.levels = levels

    async def GetLevel(self, request, context):
        known = self.levels.get(request.sku)  # clean: a dict of our own
        if known is None:
            known = self.reader.level(request.sku)  # expect-via: blocking-db
            self.levels.put(request.sku, known)  # clean: not a queue
        return known

    async def Reserve(self, request, context):
        postgres.reserve(DSN, request.sku, request.count)  # expect-via: blocking-db
        return empty_pb2.Empty()

    async def ReserveLater(self, request, context):
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(
            None, lambda: postgres.reserve(DSN, request.sku, request.count)  # clean: in a thread
        )
        return empty_pb2.Empty()

    async def Watch(self, request, context):
        while not context.cancelled():
            yield self.levels.get(request.sku)
            time.sleep(1.0)  # expect: blocking-sleep


async def serve() -> None:
    server = grpc.aio.server()
    servicer = StockServicer(PostgresStock(Gateway(DSN)), Levels())  # expect-via: blocking-db
    server.add_generic_rpc_handlers((servicer,))
    server.add_insecure_port("[::]:50051")
    await server.start()
    await server.wait_for_termination()  # clean: an awaited wait


if __name__ == "__main__":
    asyncio.run(serve())  # clean: the program's one loop
