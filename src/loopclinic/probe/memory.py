"""Another program's memory, while that program goes on."""

import contextlib
import os
import struct

__all__ = ["GoneError", "Memory", "UnreadableError"]

_FIRST_PAGE = 4096  # never mapped
_ANYWHERE = 1 << 32  # an address: of a program that is gone there is nothing at any
_WORD = struct.Struct("<Q")


class UnreadableError(Exception):
    """What was read makes no stack: the program went on meanwhile."""


class GoneError(Exception):
    """The program has ended, or has become another one by exec."""


class Memory:
    """A program's memory, through a descriptor of its /proc/PID/mem; nobody can write through it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, address: int, size: int) -> bytes:
        """Return so many bytes.

        Raises:
            UnreadableError: there are none, or fewer.
            GoneError: there is no such program any more.
        """
        if address < _FIRST_PAGE:
            raise UnreadableError
        try:
            # loopclinic: ignore[blocking-file-io] memory, not a disk
            found = os.pread(self._descriptor, size, address)
        except (OSError, OverflowError):
            raise UnreadableError from None
        if not found:
            raise GoneError  # proc(5): an address that is not mapped is an error instead
        if len(found) < size:
            raise UnreadableError
        return found

    def ensure(self) -> None:
        """Return if the program is still there.

        Raises:
            GoneError: it is not.
        """
        with contextlib.suppress(UnreadableError):
            self.read(_ANYWHERE, 1)

    def word(self, address: int) -> int:
        """Return the address, or whatever else of 64 bits, that stands there."""
        return int(_WORD.unpack(self.read(address, 8))[0])
