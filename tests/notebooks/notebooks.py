"""The notebooks, as the tests see them."""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from loopclinic.lessons import Lesson, lesson

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@dataclass(frozen=True)
class Notebook:
    path: Path

    @property
    def lesson(self) -> Lesson:
        return lesson(self.path.stem)

    def read(self) -> nbformat.NotebookNode:
        return nbformat.read(self.path, as_version=4)

    def cells(self, kind=None):
        return [cell for cell in self.read().cells if kind in (None, cell.cell_type)]

    def quick(self) -> nbformat.NotebookNode:
        """Return it with shorter loads, fewer rounds and posts, in the cells tagged `measures`."""
        notebook = self.read()
        for cell in notebook.cells:
            if "measures" in cell.metadata.get("tags", ()):
                shorter = re.sub(r"\brounds=\d+", "rounds=1", cell.source)
                shorter = re.sub(r"\bseconds=[\d.]+", "seconds=0.5", shorter)
                shorter = re.sub(r"\bposts=[\d_]+", "posts=100", shorter)
                assert shorter != cell.source, f"{cell.id} is tagged `measures` and has no length"
                cell.source = shorter
        return notebook

    def __str__(self) -> str:
        return self.path.stem


NOTEBOOKS = [Notebook(path) for path in FILES]
