"""Figures of a real loop, read back through the libraries that services use."""

import asyncio
import importlib
import sys
import time

import pytest

import loopclinic.export
from loopclinic.export import to_opentelemetry, to_prometheus
from loopclinic.probe import Probe


@pytest.fixture
def registry():
    from prometheus_client import CollectorRegistry

    return CollectorRegistry()


async def stalled():
    await asyncio.sleep(0.05)
    time.sleep(0.3)
    await asyncio.sleep(0.05)


async def test_prometheus(registry):
    from prometheus_client import generate_latest

    async with Probe() as probe:
        end = to_prometheus(probe, loop="api", registry=registry)
        await stalled()
        text = generate_latest(registry).decode()

        def value(name, **labels):
            return registry.get_sample_value(name, {"loop": "api", **labels})

        stalls = value("event_loop_stalls_total", conflict="blocking-sleep")
        short = value("event_loop_lag_seconds_bucket", le="0.1")
        total = value("event_loop_lag_seconds_count")  # read later, so no less by that
        assert stalls >= 1
        assert value("event_loop_stalled_seconds_total") >= 0.3
        assert value("event_loop_busy_seconds_total") >= 0.3
        assert total - short >= 0.19, "of 0.3 s stuck, 0.2 would have made an event wait over 0.1"
        assert value("event_loop_lag_seconds_bucket", le="+Inf") >= total
        assert value("event_loop_tasks") >= 1
        assert value("event_loop_heartbeat_seconds") >= 0.3
        end()
    assert "# TYPE event_loop_lag_seconds histogram" in text
    assert generate_latest(registry).decode() == "", "nothing is left once it is ended"


def test_prometheus_ends_with_the_probe_and_starts_again(registry):
    from prometheus_client import Counter, generate_latest

    Counter("orders", "The service's own.", registry=registry).inc()

    async def serve():
        async with Probe() as probe:
            to_prometheus(probe, registry=registry)
            return generate_latest(registry).decode()

    for _ in range(2):
        assert 'event_loop_tasks{loop="main"}' in asyncio.run(serve())
        after = generate_latest(registry).decode()
        assert "orders_total 1.0" in after
        assert "event_loop" not in after


async def test_two_loops_in_one_registry(registry):
    async with Probe() as one, Probe() as other:
        ends = [
            to_prometheus(one, loop="one", registry=registry),
            to_prometheus(other, loop="other", registry=registry),
        ]
        with pytest.raises(ValueError, match="another name"):
            to_prometheus(one, loop="one", registry=registry)
        for name in ("one", "other"):
            assert registry.get_sample_value("event_loop_tasks", {"loop": name}) >= 1
        ends[0]()
        assert registry.get_sample_value("event_loop_tasks", {"loop": "one"}) is None
        assert registry.get_sample_value("event_loop_tasks", {"loop": "other"}) >= 1
        ends[1]()


async def test_opentelemetry():
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])

    def collected():
        data = reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    async with Probe() as probe:
        end = to_opentelemetry(probe, loop="api", meter=provider.get_meter("test"))
        await stalled()
        found = collected()
        end()
        assert not any(collected().values())
        to_opentelemetry(probe, loop="again", meter=provider.get_meter("test"))
        assert collected()["event_loop.tasks"][0].attributes == {"event_loop.name": "again"}
    assert not any(collected().values()), "the export ends with its probe"
    provider.shutdown()
    assert found["event_loop.lag.max"][0].value >= 0.3
    assert found["event_loop.heartbeat"][0].value >= 0.3
    assert found["event_loop.lag.max"][0].attributes == {"event_loop.name": "api"}
    conflicts = {one.attributes["conflict"]: one.value for one in found["event_loop.stalls"]}
    assert conflicts["blocking-sleep"] >= 1
    assert found["event_loop.stalled"][0].value >= 0.3
    assert 0 < found["event_loop.utilization"][0].value <= 1


@pytest.mark.parametrize(
    ("name", "library", "package"),
    [
        ("to_prometheus", "prometheus_client", "prometheus-client"),
        ("to_opentelemetry", "opentelemetry", "opentelemetry-api"),
    ],
)
def test_a_missing_library_says_what_to_install(monkeypatch, name, library, package):
    home = f"loopclinic.export.{name.removeprefix('to_')}"
    monkeypatch.delitem(sys.modules, home, raising=False)
    monkeypatch.delitem(vars(loopclinic.export), name, raising=False)
    for module in [*sys.modules]:
        if module.split(".")[0] == library:
            monkeypatch.delitem(sys.modules, module)

    class Missing:
        def find_spec(self, wanted, *_):
            if wanted.split(".")[0] == library:
                raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted)

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match=f"pip install {package}"):
        getattr(importlib.import_module("loopclinic.export"), name)
