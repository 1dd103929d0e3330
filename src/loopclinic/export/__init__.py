"""Exports a probe's figures to Prometheus and OpenTelemetry.

    async with loopclinic.Probe(budget=0.2) as probe:
        to_prometheus(probe)
        await serve()

Each is imported on first use and needs its own library, which loopclinic does not bring.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopclinic.export.opentelemetry import to_opentelemetry as to_opentelemetry
    from loopclinic.export.prometheus import to_prometheus as to_prometheus

_HOMES = {
    "to_opentelemetry": ("opentelemetry", "opentelemetry-api"),
    "to_prometheus": ("prometheus", "prometheus-client"),
}

__all__ = [*sorted(_HOMES)]  # noqa: PLE0604 - a sorted view of the table above, strings all


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'loopclinic.export' has no attribute {name!r}")
    home, package = _HOMES[name]
    try:
        value = getattr(import_module(f"{__name__}.{home}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("loopclinic"):
            raise
        raise ModuleNotFoundError(
            f"loopclinic.export.{name} needs {error.name}: pip install {package}.", name=error.name
        ) from error
    globals()[name] = value
    return value
