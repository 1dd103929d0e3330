"""`Figure`: a number by which right answers to a lab differ, compared with the reference solution's."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One of a trial's vitals, about the same on every machine: a count, a ratio, a wait that is made long.

    `what` begins a sentence that ends in the value and its unit. `reference` is what the record of the
    reference solution shows; up to `apart` times that, or as far below it, there is no difference.
    """

    vital: str
    what: str
    unit: str
    reference: float
    apart: float = 1.2
    per: str = ""
    """The vital that this one is divided by, such as a limit that each trial draws anew."""
