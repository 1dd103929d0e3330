"""A probe's figures as OpenTelemetry metrics, observed when they are collected."""

from collections.abc import Callable, Iterable
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter

from loopclinic.export.metrics import Reader, Reading
from loopclinic.probe import Probe

_Observe = Callable[[Reading], Iterable[tuple[float, dict[str, str]]]]


def to_opentelemetry(
    probe: Probe, *, loop: str = "main", meter: Meter | None = None
) -> Callable[[], None]:
    """Export a running probe's figures, with the attribute `event_loop.name`.

    Named after OpenTelemetry's own for Node.js (`nodejs.eventloop.delay.p99`,
    `nodejs.eventloop.utilization`; its semantic conventions have none for Python). Lag,
    heartbeat and utilization look back over the last minute, the rest are totals. `meter` is that of the global
    provider unless given.

    The export ends when the probe stops.

    Returns:
        A function that ends the export before that. The instruments stay, since OpenTelemetry has no way to
        take them back, and observe nothing.

    Raises:
        RuntimeError: the probe is not running.
    """
    meter = meter or get_meter("loopclinic")
    readers = _readers.get(meter)
    if readers is None:
        readers = _readers[meter] = {}
        _create_instruments(meter, readers)
    key = object()
    reader = Reader(probe)
    readers[key] = loop, reader

    def end() -> None:
        reader.close()
        readers.pop(key, None)

    return end


_Readers = dict[object, tuple[str, Reader]]
_readers: WeakKeyDictionary[Meter, _Readers] = WeakKeyDictionary()
"""By meter: it accepts an instrument of a name only once, so all exports share its callbacks."""


def _create_instruments(meter: Meter, readers: _Readers) -> None:
    def callback(observe: _Observe) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observed(_: CallbackOptions) -> Iterable[Observation]:
            for key, (loop, reader) in list(readers.items()):
                reading = reader.read()
                if reading is None:
                    readers.pop(key, None)
                    continue
                for value, more in observe(reading):
                    yield Observation(value, {"event_loop.name": loop} | more)

        return observed

    for metric, unit, meaning, look in _GAUGES:
        meter.create_observable_gauge(metric, [callback(look)], unit, meaning)
    for metric, unit, meaning, look in _COUNTERS:
        meter.create_observable_counter(metric, [callback(look)], unit, meaning)


def _one(read: Callable[[Reading], float | None]) -> _Observe:
    def observe(reading: Reading) -> Iterable[tuple[float, dict[str, str]]]:
        value = read(reading)
        return [] if value is None else [(value, {})]

    return observe


def _counted(name: str) -> _Observe:
    """Observe what a look at the tasks and threads counted; nothing where there was none."""
    return _one(lambda reading: getattr(reading.census, name, None))


def _stalls(reading: Reading) -> Iterable[tuple[float, dict[str, str]]]:
    return [(count, {"conflict": conflict}) for conflict, count in reading.stalls.items()]


_GAUGES: tuple[tuple[str, str, str, _Observe], ...] = (
    ("event_loop.lag.p50", "s", "Median wait for the loop.", _one(lambda r: r.lag.p50)),
    ("event_loop.lag.p95", "s", "95th percentile of the wait.", _one(lambda r: r.lag.p95)),
    ("event_loop.lag.p99", "s", "99th percentile of the wait.", _one(lambda r: r.lag.p99)),
    ("event_loop.lag.max", "s", "The longest wait.", _one(lambda r: r.lag.max)),
    (
        "event_loop.heartbeat",
        "s",
        "The latest that a coroutine which waits for a timer went on.",
        _one(lambda r: r.heartbeat),
    ),
    ("event_loop.utilization", "1", "Busy share of loop time.", _one(lambda r: r.utilization)),
    ("event_loop.tasks", "{task}", "Tasks that are not done.", _counted("tasks")),
    (
        "event_loop.requests",
        "{request}",
        "Requests in work, of aiohttp and uvicorn.",
        _counted("requests"),
    ),
    (
        "event_loop.executor.queued",
        "{call}",
        "Calls that wait for a thread of the default executor.",
        _counted("executor_queued"),
    ),
)
_COUNTERS: tuple[tuple[str, str, str, _Observe], ...] = (
    ("event_loop.busy", "s", "Time in which the loop was at work.", _one(lambda r: r.busy)),
    ("event_loop.iterations", "{iteration}", "Iterations.", _one(lambda r: r.iterations)),
    ("event_loop.stalls", "{stall}", "Iterations over the probe's threshold.", _stalls),
    ("event_loop.stalled", "s", "Time of such iterations.", _one(lambda r: r.stalled)),
)
