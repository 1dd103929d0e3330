"""Mutants of the billing service, each of which breaks one promise; the lab's tests must fail on each."""

import types
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class Mutant:
    """How a service is broken: these methods don't raise `swallows`, and answer all the same."""

    what: str
    """What it does, as the rest of a sentence."""
    methods: tuple[str, ...]
    swallows: str | None
    """An error of the package's, "Exception" for any that is not; None: the method does nothing."""
    answers_none: bool = False
    """Whether it answers None, else the invoice."""

    def of(self, package: ModuleType, reached: Callable[[], None] = lambda: None) -> type:
        """Return the mutant of a package's service; it calls `reached` where it differs.

        Derived from the service and its public methods alone, so that any layout of classes will do.
        """
        base: Any = package.BillingService

        def mutated(method: str) -> Callable[..., Any]:
            async def call(service: Any, invoice_id: int, *args: Any, **options: Any) -> Any:
                try:
                    if self.swallows is not None:
                        return await getattr(base, method)(service, invoice_id, *args, **options)
                except Exception as error:
                    kind = getattr(package, str(self.swallows), Exception)
                    foreign = not isinstance(error, package.BillingError)
                    if not isinstance(error, kind) or (kind is Exception and not foreign):
                        raise
                reached()
                return None if self.answers_none else await service.get(invoice_id)

            return call

        names = {"__module__": base.__module__, "__qualname__": base.__qualname__}
        methods = {method: mutated(method) for method in self.methods}
        return types.new_class(
            base.__name__, (base,), {}, lambda body: body.update(names | methods)
        )


MUTANTS = {
    "unknown": Mutant(
        "gives None for an unknown invoice",
        ("get", "record_payment", "charge"),
        "InvoiceNotFound",
        answers_none=True,
    ),
    "overpaid": Mutant("swallows an Overpaid", ("record_payment",), "Overpaid"),
    "gateway": Mutant("swallows what the gateway raises", ("charge",), "Exception"),
    "idle": Mutant("does nothing when it should charge", ("charge",), None),
}
"""By name."""
