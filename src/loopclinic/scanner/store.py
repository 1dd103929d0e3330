"""The facts of a scan, kept as bytes and read when they are needed: most files never are."""

from collections.abc import Iterator, Mapping

from loopclinic.scanner.facts.record import Facts, Summary

__all__ = ["Store"]

_LARGE = 1500
"""Files from which on only those that have to do with event loops are read for callers."""


class Store:
    """Facts by the position of their file."""

    def __init__(
        self, dumps: Mapping[int, bytes], summaries: Mapping[int, Summary], live: list[int]
    ) -> None:
        """Keep what was found. `live` are the files whose source has to do with event loops."""
        self._dumps = dumps
        self._read: dict[int, Facts] = {}
        self.summaries = summaries
        self.live = live
        self._inherits: dict[str, list[tuple[int, int]]] = {}
        for number, summary in summaries.items():
            for index, (_, bases) in enumerate(summary.inherits):
                for base in bases:
                    self._inherits.setdefault(base, []).append((number, index))

    def has(self, file: int) -> bool:
        """Whether a file was read."""
        return file in self._dumps

    def in_use(self) -> list[int]:
        """Return the files to look for callers in: all of a project, the live ones of a large tree."""
        return self.live if len(self._dumps) > _LARGE else sorted(self._dumps)

    def facts(self, file: int) -> Facts:
        """Return the facts of a file that was read."""
        found = self._read.get(file)
        if found is None:
            found = self._read[file] = Facts.load(self._dumps[file])
        return found

    def inheritors(self, name: str) -> Iterator[tuple[int, int]]:
        """Yield the classes that inherit from something of that name."""
        yield from self._inherits.get(name, ())
