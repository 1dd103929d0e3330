"""Adapters that start each monitor, the probe and its peers, as its documentation says, by name.

Each is an async context manager that yields what collects its findings.
"""

import asyncio
import io
import logging
import re
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from loopclinic.probe import Probe

THRESHOLD = 0.01  # seconds, for all of them


@dataclass
class Findings:
    """What a monitor said: when (perf_counter), how long it took the block to be, and the text of its stack."""

    said: list[tuple[float, float | None, str]] = field(default_factory=list)
    probe: Probe | None = None

    def add(self, seconds: float | None, text: str) -> None:
        self.said.append((time.perf_counter(), seconds, text))


@asynccontextmanager
async def none(_: Findings) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def debug(found: Findings) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told = re.search(r"took ([\d.]+) seconds", record.getMessage())
            found.add(float(told[1]) if told else None, record.getMessage())

    logger = logging.getLogger("asyncio")
    logger.addHandler(listener := Listener())
    logger.propagate = False
    loop.set_debug(True)
    loop.slow_callback_duration = THRESHOLD
    await asyncio.sleep(0)
    yield
    loop.set_debug(False)
    logger.removeHandler(listener)


@asynccontextmanager
async def aiodebug(found: Findings) -> AsyncIterator[None]:
    from aiodebug import log_slow_callbacks

    log_slow_callbacks.enable(THRESHOLD, lambda name, seconds: found.add(seconds, name))
    yield


@asynccontextmanager
async def aiocop(found: Findings) -> AsyncIterator[None]:
    import aiocop as cop

    def slow(event: object) -> None:
        if event.exceeded_threshold:
            samples = [*event.blocking_events, *event.cpu_stack_samples]
            found.add(event.elapsed_ms / 1000, "\n".join(str(one["trace"]) for one in samples))

    cop.patch_audit_functions()
    cop.start_blocking_io_detection()
    cop.detect_slow_tasks(threshold_ms=round(THRESHOLD * 1000), on_slow_task=slow)
    cop.activate()
    yield
    cop.deactivate()


@asynccontextmanager
async def loopsentry(found: Findings) -> AsyncIterator[None]:
    from loopsentry import monitor

    monitor.console.file = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        sentry = monitor.LoopSentry(base_dir=folder, threshold=THRESHOLD)
        write = sentry._write_event  # noqa: SLF001 - it tells in a file only

        def told(kind: str, data: dict, duration: float = 0.0) -> None:
            ended = kind == "block_resolved"
            found.add(duration if ended else None, "".join(data.get("stack", ())))
            write(kind, data, duration=duration)

        sentry._write_event = told  # noqa: SLF001
        sentry.start()
        yield
        sentry.stop()


@asynccontextmanager
async def pyleak(found: Findings) -> AsyncIterator[None]:
    import pyleak

    logging.getLogger("pyleak").setLevel(logging.CRITICAL)
    watch = pyleak.no_event_loop_blocking(
        action="log", threshold=THRESHOLD, check_interval=THRESHOLD / 2
    )
    async with watch:
        add = watch.detector._add_block  # noqa: SLF001 - else heard of only at the end

        def told(
            duration: float, blocking_stack: list[traceback.FrameSummary] | None = None
        ) -> None:
            found.add(duration, "".join(traceback.format_list(blocking_stack or [])))
            add(duration, blocking_stack)

        watch.detector._add_block = told  # noqa: SLF001
        yield


@asynccontextmanager
async def blockbuster(found: Findings) -> AsyncIterator[None]:
    del found  # it raises at the call: the work sees it
    from blockbuster import BlockBuster

    buster = BlockBuster()
    buster.activate()
    yield
    buster.deactivate()


@contextmanager
def _probed(found: Findings, *, witness: bool) -> object:
    with Probe(threshold=THRESHOLD, witness=witness) as probe:
        found.probe = probe

        def tell() -> None:
            stall = probe.current()
            if stall is not None and stall.function is not None:
                found.add(stall.seconds, stall.function)

        stop = probe.subscribe(tell, every=THRESHOLD / 2)
        yield probe
        stop()


@asynccontextmanager
async def ours(found: Findings) -> AsyncIterator[None]:
    with _probed(found, witness=False):
        yield


@asynccontextmanager
async def ours_witness(found: Findings) -> AsyncIterator[None]:
    with _probed(found, witness=True) as probe:
        for _ in range(500):
            if probe.witness_url:
                break
            await asyncio.sleep(0.02)
        yield


MONITORS: dict[str, tuple[str, Callable]] = {
    # name -> the module that it takes, and what switches it on
    "none": ("", none),
    "asyncio debug mode": ("", debug),
    "aiodebug": ("aiodebug", aiodebug),
    "aiocop": ("aiocop", aiocop),
    "loopsentry": ("loopsentry", loopsentry),
    "pyleak": ("pyleak", pyleak),
    "blockbuster": ("blockbuster", blockbuster),
    "probe": ("", ours),
    "probe with witness": ("", ours_witness),
}
