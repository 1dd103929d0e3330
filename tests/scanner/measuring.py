"""Compares the scanner's findings with the labels of the corpus."""

import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from loopclinic.scanner.options import Settings
from loopclinic.scanner.scanning import scan_path

CORPUS = Path(__file__).with_name("corpus")
PARTS = ("own", "blind", "fresh")
_LABEL = re.compile(r"#\s*(expect|expect-via|clean):\s*([\w-]+(?:, [\w-]+$)?)")


@dataclass
class Measured:
    """How many labels were met, what was wrong, and the kinds that were rightly found."""

    met: Counter = field(default_factory=Counter)
    missed: list = field(default_factory=list)
    false: list = field(default_factory=list)
    labels: Counter = field(default_factory=Counter)
    kinds: set = field(default_factory=set)

    def recall(self, sort: str) -> float:
        return self.met[sort] / self.labels[sort] if self.labels[sort] else 1.0

    @property
    def precision(self) -> float:
        found = self.met.total() + len(self.false)
        return self.met.total() / found if found else 1.0

    def __str__(self) -> str:
        return (
            f"{self.labels['expect']} direct, {self.labels['expect-via']} through calls, "
            f"{self.labels['clean']} look-alikes: recall {self.recall('expect'):.3f} direct, "
            f"{self.recall('expect-via'):.3f} through calls, precision {self.precision:.3f}"
        )


def labels(case: Path) -> list[tuple[str, int, str, str]]:
    """Return the file, line, sort and kind of each label; a line may have two kinds."""
    found = []
    for file in sorted(case.rglob("*.py")):
        text = file.read_bytes().decode("utf-8", "replace").replace("\0", "")
        for number, line in enumerate(text.splitlines(), 1):
            match = _LABEL.search(line)
            kinds = match[2].rstrip(",").split(",") if match else []
            path = file.relative_to(case).as_posix()
            found += [(path, number, match[1], kind.strip()) for kind in kinds if match]
    return found


def measure(part: Path, min_confidence: str = "hint") -> Measured:
    """Scan each case of one part of the corpus."""
    total = Measured()
    for case in sorted(one for one in part.iterdir() if one.is_dir()):
        wanted = labels(case)
        total.labels.update(sort for _, _, sort, _ in wanted)
        report = scan_path(case, Settings(min_confidence=min_confidence), jobs=1)
        found = {(one.file, one.line, one.kind) for one in report.findings}
        for file, line, sort, kind in wanted:
            if sort == "clean":
                continue
            if (file, line, kind) in found:
                total.met[sort] += 1
                total.kinds.add(kind)
                found.discard((file, line, kind))
            else:
                total.missed.append(f"{case.name}/{file}:{line} {sort} {kind}")
        total.false += [f"{case.name}/{file}:{line} {kind}" for file, line, kind in sorted(found)]
    return total


if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        result = measure(CORPUS / name)
        print(name, result)
        print("\n".join(f"  missed {one}" for one in result.missed))
        print("\n".join(f"  false  {one}" for one in result.false))
