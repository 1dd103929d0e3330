"""Resolves imports to files: packages, src layouts, flat scripts, relative imports."""

import sys
from collections.abc import Iterable
from pathlib import PurePosixPath

_KEPT_ALTERNATIVES = 50


class Modules:
    """The scanned files by import path. A file is known by its position in the list given."""

    def __init__(self, paths: Iterable[str], above: tuple[str, ...], known: set[str]) -> None:
        """Index files. `above` names the folders that the scanned path itself stands in."""
        self._known = known | set(sys.stdlib_module_names)
        self.parts: list[tuple[str, ...]] = []
        self.packages: list[bool] = []
        self._suffixes: dict[str, list[int]] = {}
        self._exact: dict[tuple[str, ...], int] = {}
        self._folders: set[tuple[str, ...]] = set()
        for number, path in enumerate(paths):
            pure = PurePosixPath(path)
            names = (*above, *pure.parts[:-1])
            stem = pure.stem
            is_package = stem == "__init__"
            parts = names if is_package else (*names, stem)
            self.parts.append(parts)
            self.packages.append(is_package)
            if is_package:
                self._folders.add(names)
            self._exact.setdefault(parts, number)
            if path.endswith(".py"):
                self._exact[parts] = number
            for start in range(max(0, len(parts) - 8), len(parts)):
                found = self._suffixes.setdefault(".".join(parts[start:]), [])
                if len(found) < _KEPT_ALTERNATIVES:
                    found.append(number)

    def find(self, importer: int, level: int, module: str) -> int | None:
        """Return the file of `from ...module import` with so many dots, or None."""
        if not level:
            return self.absolute(importer, module)
        parts = self.parts[importer]
        up = level - 1 if self.packages[importer] else level
        if up > len(parts):
            return None
        base = parts[: len(parts) - up]
        return self._exact.get((*base, *module.split(".")) if module else base)

    def exact(self, parts: tuple[str, ...]) -> int | None:
        """Return the file with exactly these names."""
        return self._exact.get(parts)

    def absolute(self, importer: int, dotted: str) -> int | None:
        """Return the file that an absolute import means for its importer, or None if none of ours."""
        found = self._suffixes.get(dotted)
        if not found:
            return None
        size = dotted.count(".") + 1
        home = self.parts[importer]
        known = dotted.partition(".")[0] in self._known
        best: tuple[int, int] | None = None
        for number in found:
            root = self.parts[number][: len(self.parts[number]) - size]
            if root in self._folders or number == importer:
                continue
            common = _common(root, home)
            if common < len(root) and known:
                continue
            score = common * 2 + (common == len(root))
            if best is None or score > best[0]:
                best = (score, number)
        return best[1] if best else None


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
