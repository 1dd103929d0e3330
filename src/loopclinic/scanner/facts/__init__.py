"""Facts of one file, from one pass over its syntax tree, as small tuples."""

from loopclinic.scanner.facts.fact_records import (
    Class,
    Event,
    Facts,
    Function,
    Parameter,
    Pattern,
    Summary,
)
from loopclinic.scanner.facts.file_pass import facts_of

__all__ = ["Class", "Event", "Facts", "Function", "Parameter", "Pattern", "Summary", "facts_of"]
