import asyncio
import json
import signal
from queue import Empty, Queue
from threading import Event, Lock, Thread

from aiokafka import AIOKafkaConsumer

from .sinks import DocumentSink, normalize

stop = Event()
stopping = asyncio.Event()
outbox: Queue = Queue()
stats_lock = Lock()
stats = {"read": 0}


def drain() -> None:
    while not stop.is_set():
        try:
            outbox.get(timeout=1)  # clean: in a thread of its own
        except Empty:
            continue


async def consume(sink: DocumentSink) -> None:
    consumer = AIOKafkaConsumer("documents")
    await consumer.start()
    try:
        async for message in consumer:
            document = normalize(json.loads(message.value))  # expect-via: blocking-retry
            if sink.seen(document["id"]):  # expect-via: blocking-redis
                continue
            sink.save(document)  # expect-via: blocking-sdk
            with stats_lock:  # expect: thread-lock-in-async
                stats["read"] += 1
                await consumer.commit()
            outbox.put_nowait(document)  # clean: never waits
    finally:
        await consumer.stop()


async def until_idle() -> None:
    outbox.join()  # expect: blocking-sync-primitive


async def main() -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)  # clean: sets and returns
    Thread(target=drain, daemon=True).start()  # clean: start returns at once
    task = asyncio.create_task(consume(DocumentSink()))  # clean: awaited below
    await stopping.wait()  # clean: asyncio's event
    stop.set()  # clean: does not wait
    task.cancel()
    results = await asyncio.gather(task, return_exceptions=True)  # clean: looked at below
    for one in results:
        if isinstance(one, Exception):
            raise one


if __name__ == "__main__":
    asyncio.run(main())
