"""Run the notebooks and store their outputs in data/executed, for slides made without running them.

Takes some minutes on an idle machine. With numbers of lessons only those: `make executed ARGS="01 02"`.
"""

import sys
from pathlib import Path

import nbformat

from loopclinic.cli import gallery
from loopclinic.drawing import STYLE
from loopclinic.lessons.story.prediction import NO_GUESS

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "data" / "executed"


def main(lessons: list[str]) -> int:
    """Keep the outputs of each notebook that ran to its end; return 1 if one did not."""
    KEPT.mkdir(exist_ok=True)
    failed = 0
    for file in gallery.chosen(ROOT, lessons):
        notebook, error = gallery.execute(file)
        print(f"{file.name}: {error or 'kept'}", flush=True)
        failed += bool(error)
        if not error:
            text: str = nbformat.writes(shortened(notebook))  # type: ignore[no-untyped-call]
            kept = text.replace(str(ROOT), "~/loopclinic")  # no deck names where it was made
            (KEPT / f"{file.stem}.json").write_text(kept, encoding="utf-8")
    return 1 if failed else 0


def shortened(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leave out what slides do not show: words, live widgets, the stylesheet that a deck has once."""
    notebook = gallery.still(notebook)
    notebook.cells = [one for one in notebook.cells if one.cell_type == "code" and one.outputs]
    for data in (one.get("data", {}) for cell in notebook.cells for one in cell.outputs):
        if "text/html" in data:
            html = data["text/html"].replace(f"<style>{STYLE}</style>", "")
            data["text/html"] = html.replace(NO_GUESS, "")  # nobody was asked
    return notebook


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
