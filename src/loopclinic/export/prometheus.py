"""A probe's figures as Prometheus metrics, read when they are scraped."""

from collections.abc import Callable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from loopclinic.export.metrics import EDGES, Reader, Reading
from loopclinic.probe import Probe


def to_prometheus(
    probe: Probe, *, loop: str = "main", registry: CollectorRegistry = REGISTRY
) -> Callable[[], None]:
    """Export a running probe's figures, under the label `loop`.

    `event_loop_lag_seconds` is a histogram of loop time and not of iterations: each second counts
    once, by how long an event that became ready in it had to wait. So
    `histogram_quantile(0.99, rate(event_loop_lag_seconds_bucket[5m]))` is the true p99 of lag, and
    `rate(event_loop_busy_seconds_total[5m])` the utilization.

    The export ends when the probe stops.

    Returns:
        A function that ends the export before that.

    Raises:
        RuntimeError: the probe is not running.
        ValueError: a running probe is exported by this loop name already; give each its own.
    """
    collector = _of(registry)
    if loop in collector.readers and collector.readers[loop].read() is not None:
        raise ValueError(
            f"A probe is exported as loop={loop!r} already: give to_prometheus(probe, loop=...) "
            "another name, or end that export first."
        )
    reader = collector.readers[loop] = Reader(probe)

    def end() -> None:
        reader.close()
        if collector.readers.get(loop) is reader:
            del collector.readers[loop]
        if not collector.readers and _collectors.get(registry) is collector:
            del _collectors[registry]
            registry.unregister(collector)

    return end


class _Collector(Collector):
    """All probes of one registry: a metric may stand there only once, whatever its labels."""

    def __init__(self) -> None:
        self.readers: dict[str, Reader] = {}

    def describe(self) -> Iterator[Metric]:
        return iter(_families([]))  # asked at registration, so that names are known to be free

    def collect(self) -> Iterator[Metric]:
        read = [(name, one.read()) for name, one in list(self.readers.items())]
        now = [(name, reading) for name, reading in read if reading is not None]
        return iter(_families(now) if now else [])


_collectors: dict[CollectorRegistry, _Collector] = {}


def _of(registry: CollectorRegistry) -> _Collector:
    if registry not in _collectors:
        collector = _Collector()
        registry.register(collector)
        _collectors[registry] = collector
    return _collectors[registry]


def _families(readings: list[tuple[str, Reading]]) -> list[Metric]:
    lag = HistogramMetricFamily(
        "event_loop_lag_seconds",
        "Seconds of loop time, by how long an event that became ready in it had to wait.",
        labels=["loop"],
    )

    def counter(name: str, meaning: str, *more: str) -> CounterMetricFamily:
        return CounterMetricFamily(name, meaning, labels=["loop", *more])

    def gauge(name: str, meaning: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, meaning, labels=["loop"])

    busy = counter("event_loop_busy_seconds", "Seconds in which the loop was at work.")
    iterations = counter("event_loop_iterations", "Iterations of the loop.")
    stalls = counter("event_loop_stalls", "Iterations over the probe's threshold.", "conflict")
    stalled = counter("event_loop_stalled_seconds", "Seconds of such iterations.")
    tasks = gauge("event_loop_tasks", "Tasks that are not done.")
    threads = gauge("event_loop_executor_threads", "Threads at work in the default executor.")
    queued = gauge("event_loop_executor_queued", "Calls that wait for such a thread.")
    requests = gauge("event_loop_requests", "Requests in work, of aiohttp and uvicorn.")
    heartbeat = gauge(
        "event_loop_heartbeat_seconds",
        "The latest that a coroutine which waits for a timer went on, in the last minute.",
    )
    for name, reading in readings:
        buckets = [(f"{edge:g}", value) for edge, value in zip(EDGES, reading.within, strict=True)]
        lag.add_metric([name], [*buckets, ("+Inf", reading.seconds)], sum_value=reading.waited)
        if reading.busy is not None:
            busy.add_metric([name], reading.busy)
        iterations.add_metric([name], reading.iterations)
        for conflict, count in reading.stalls.items():
            stalls.add_metric([name, conflict], count)
        stalled.add_metric([name], reading.stalled)
        if reading.census is not None:
            tasks.add_metric([name], reading.census.tasks)
            threads.add_metric([name], reading.census.executor_busy)
            queued.add_metric([name], reading.census.executor_queued)
            if reading.census.requests is not None:
                requests.add_metric([name], reading.census.requests)
        heartbeat.add_metric([name], reading.heartbeat)
    return [lag, heartbeat, busy, iterations, stalls, stalled, tasks, requests, threads, queued]
