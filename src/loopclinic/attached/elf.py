"""ELF files: addresses of symbols and sections, as a process has them in its memory."""

import mmap
import struct
from dataclasses import dataclass

MACHINES = {62: "x86-64", 183: "arm64"}
"""Those whose layout of Python is known, by their numbers in elf.h."""
# Types of section: the symbols for other programs, then all that were not stripped.
_SYMBOLS = (11, 2)
_LOAD = 1
_FIXED = 2  # a program that is always at the same addresses
_SYMBOL = 24  # bytes


class ElfError(ValueError):
    """A file is no ELF file of 64 bits and little-endian; `narrow` if it is one of 32 bits."""

    def __init__(self, *, narrow: bool = False) -> None:
        super().__init__("it is no ELF file of 64 bits")
        self.narrow = narrow


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    kind: int
    address: int
    offset: int
    size: int
    link: int


class Elf:
    """The tables of one file; ElfError if it has none that can be read here, OSError if it is closed to us."""

    def __init__(self, path: str) -> None:
        # loopclinic: ignore[blocking-file-io] no loop runs here
        with open(path, "rb") as file:  # noqa: PTH123
            try:
                self._file = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            except ValueError:  # it is empty
                raise ElfError from None
        head = self._read(0, 64)
        if len(head) < 64 or head[:4] != b"\x7fELF" or head[4:6] != b"\x02\x01":
            raise ElfError(narrow=head[:5] == b"\x7fELF\x01")
        kind, self.machine = struct.unpack_from("<HH", head, 16)
        segments, sections = struct.unpack_from("<QQ", head, 32)
        each, count, wide, number, names = struct.unpack_from("<HHHHH", head, 54)
        self.base = 0
        """The address in the file that goes to where the file's beginning is in memory."""
        table = self._read(segments, each * count)
        loads = [
            struct.unpack_from("<QQ", table, at + 8)
            for at in range(0, len(table), each)
            if struct.unpack_from("<I", table, at)[0] == _LOAD
        ]
        self.fixed = kind == _FIXED
        if loads:
            offset, address = loads[0]
            self.base = address - offset
        table = self._read(sections, wide * number)
        starts = range(0, len(table) - wide + 1, wide) if wide else ()
        raw = [struct.unpack_from("<IIQQQQI", table, at) for at in starts]
        if names >= len(raw):
            raise ElfError
        text = self._read(raw[names][4], raw[names][5])
        self._sections = [
            _Section(text[one[0] : text.find(b"\0", one[0])].decode("latin-1"), one[1], *one[3:])
            for one in raw
        ]

    def section(self, name: str) -> int | None:
        """Return the address of a section in the file, None if there is none."""
        return next((one.address for one in self._sections if one.name == name), None)

    def symbols(self, wanted: tuple[str, ...]) -> dict[str, int]:
        """Return the addresses in the file of those symbols that are defined in it."""
        found: dict[str, int] = {}
        for kind in _SYMBOLS:
            for table in (one for one in self._sections if one.kind == kind):
                names = self._sections[table.link]
                text = self._read(names.offset, names.size)
                at = {text.find(f"\0{name}\0".encode()) + 1: name for name in wanted}
                at.pop(0, None)
                if not at:
                    continue
                rows = self._read(table.offset, table.size // _SYMBOL * _SYMBOL)
                for name, _, _, section, address, _ in struct.iter_unpack("<IBBHQQ", rows):
                    if name in at and section:
                        found.setdefault(at[name], address)
            if len(found) == len(wanted):
                break
        return found

    def _read(self, offset: int, size: int) -> bytes:
        return self._file[offset : offset + size]
