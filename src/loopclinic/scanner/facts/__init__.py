"""What one pass over one file's syntax tree leaves: small tuples, after which the tree is dropped."""

from loopclinic.scanner.facts.passing import facts_of
from loopclinic.scanner.facts.record import (
    Class,
    Event,
    Facts,
    Function,
    Parameter,
    Pattern,
    Summary,
)

__all__ = ["Class", "Event", "Facts", "Function", "Parameter", "Pattern", "Summary", "facts_of"]
