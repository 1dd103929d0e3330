"""Lines of source by the instructions of a function, from the bytes that CPython keeps of them."""

from loopclinic.probe.memory import UnreadableError

__all__ = ["line_at"]


def line_at(table: bytes, first: int, offset: int) -> int:
    """Return the line of the instruction at `offset` bytes, 0 if it has none.

    Source: CPython's Objects/locations.md (3.11: locations.md under PEP 626), the table of locations.

    Raises:
        UnreadableError: the table ends before.
    """
    if offset < 0:  # not begun yet
        return first
    line, at, end = first, 0, 0
    while at < len(table):
        entry, at = table[at], at + 1
        begun = at
        while at < len(table) and not table[at] & 0x80:  # that bit begins an entry
            at += 1
        kind = entry >> 3 & 15
        if kind in (13, 14):
            line += _signed(table[begun:at])
        elif 10 <= kind <= 12:  # noqa: PLR2004 - the form says how many lines further
            line += kind - 10
        end += 2 * ((entry & 7) + 1)
        if offset < end:
            return line if kind != 15 else 0  # noqa: PLR2004 - the form without a line
    raise UnreadableError


def _signed(numbers: bytes) -> int:
    """Return the first of some numbers: six bits a byte, lowest first, then one for the sign."""
    value = shift = 0
    for byte in numbers:
        value |= (byte & 63) << shift
        shift += 6
        if not byte & 64:
            break
    return -(value >> 1) if value & 1 else value >> 1
