"""Services that are broken on purpose: tests that pass on one of them test nothing there."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

__all__ = ["BROKEN"]

# Each inherits from whatever service the learner wrote, and breaks one promise by its public
# methods alone, so that any layout of classes will do.


def _unknown(package: ModuleType) -> type:
    base: Any = package.BillingService

    class Broken(base):  # type: ignore[misc]
        async def get(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().get(*args, **options)
            except package.InvoiceNotFound:
                return None

        async def record_payment(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().record_payment(*args, **options)
            except package.InvoiceNotFound:
                return None

        async def charge(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().charge(*args, **options)
            except package.InvoiceNotFound:
                return None

    return Broken


def _overpaid(package: ModuleType) -> type:
    base: Any = package.BillingService

    class Broken(base):  # type: ignore[misc]
        async def record_payment(self, invoice_id: int, *args: Any, **options: Any) -> Any:
            try:
                return await super().record_payment(invoice_id, *args, **options)
            except package.Overpaid:
                return await self.get(invoice_id)

    return Broken


def _gateway(package: ModuleType) -> type:
    base: Any = package.BillingService

    class Broken(base):  # type: ignore[misc]
        async def charge(self, invoice_id: int, *args: Any, **options: Any) -> Any:
            try:
                return await super().charge(invoice_id, *args, **options)
            except package.BillingError:
                raise
            except Exception:
                return await self.get(invoice_id)

    return Broken


def _idle(package: ModuleType) -> type:
    base: Any = package.BillingService

    class Broken(base):  # type: ignore[misc]
        async def charge(self, invoice_id: int, *args: Any, **options: Any) -> Any:
            del args, options
            return await self.get(invoice_id)

    return Broken


BROKEN: Mapping[str, tuple[Callable[[ModuleType], type], str]] = {
    "unknown": (_unknown, "gives None for an unknown invoice"),
    "overpaid": (_overpaid, "swallows an Overpaid"),
    "gateway": (_gateway, "swallows what the gateway raises"),
    "idle": (_idle, "does nothing when it should charge"),
}
"""Name -> how to break a package's service, and what that service does."""
