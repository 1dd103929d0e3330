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

from loopclinic.export.reading import EDGES, Reader, Reading
from loopclinic.probe import Probe

__all__ = ["to_prometheus"]


def to_prometheus(
    probe: Probe, *, loop: str = "main", registry: CollectorRegistry = REGISTRY
) -> Callable[[], None]:
    """Export a running probe's figures, under the label `loop`.

    `event_loop_lag_seconds` is a histogram of loop time and not of iterations: each second counts
    once, by how long an event that became ready in it had to wait. So
    `histogram_quantile(0.99, rate(event_loop_lag_seconds_bucket[5m]))` is the true p99 of lag, and
    `rate(event_loop_busy_seconds_total[5m])` the utilization.

    Returns:
        A function that ends the export.

    Raises:
        RuntimeError: the probe is not running.
        ValueError: this loop name is exported already; give each its own.
    """
    collector = _of(registry)
    if loop in collector.readers:
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
        return iter(_families([(name, one.read()) for name, one in list(self.readers.items())]))


_collectors: dict[CollectorRegistry, _Collector] = {}


def _of(registry: CollectorRegistry) -> _Collector:
    collector = _collectors.get(registry)
    if collector is None:
        collector = _Collector()
        registry.register(collector)
        _collectors[registry] = collector
    return collector


def _families(readings: list[tuple[str, Reading]]) -> list[Metric]:
    lag = HistogramMetricFamily(
        "event_loop_lag_seconds",
        "Seconds of loop time, by how long an event that became ready in it had to wait.",
        labels=["loop"],
    )
    busy = CounterMetricFamily(
        "event_loop_busy_seconds", "Seconds in which the loop was at work.", labels=["loop"]
    )
    iterations = CounterMetricFamily(
        "event_loop_iterations", "Iterations of the loop.", labels=["loop"]
    )
    stalls = CounterMetricFamily(
        "event_loop_stalls", "Iterations over the probe's threshold.", labels=["loop", "conflict"]
    )
    stalled = CounterMetricFamily(
        "event_loop_stalled_seconds", "Seconds of such iterations.", labels=["loop"]
    )
    tasks = GaugeMetricFamily("event_loop_tasks", "Tasks that are not done.", labels=["loop"])
    threads = GaugeMetricFamily(
        "event_loop_executor_threads", "Threads at work in the default executor.", labels=["loop"]
    )
    queued = GaugeMetricFamily(
        "event_loop_executor_queued", "Calls that wait for such a thread.", labels=["loop"]
    )
    requests = GaugeMetricFamily(
        "event_loop_requests", "Requests in work, of aiohttp and uvicorn.", labels=["loop"]
    )
    heartbeat = GaugeMetricFamily(
        "event_loop_heartbeat_seconds",
        "The latest that a coroutine which waits for a timer went on, in the last minute.",
        labels=["loop"],
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
