"""`loopclinic slides`: writes each notebook as slides, one HTML page that needs no network.

nbconvert reads the slide types of cells and exports them as it does for reveal.js; that itself would
come from the network, so a small script of ours takes its place (deck/), which also cuts what is
too much for one slide. S opens the speaker's window; printing gives the slides with the notes.
"""

import argparse
import ast
from functools import cache
from pathlib import Path
from typing import Any

from loopclinic.cli import gallery
from loopclinic.drawing import STYLE
from loopclinic.lessons import UnknownLessonError, lesson
from loopclinic.units import count

_TREE = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_PARTS = Path(__file__).parent / "deck"


def configure(parser: argparse.ArgumentParser) -> None:
    run_too = "run the cells, and show their output instead of the kit's own"
    parser.add_argument("--execute", action="store_true", help=run_too)
    gallery.add_notebooks(parser, "build/slides")
    parser.epilog = (
        "In a deck, step with arrows or space, press S for the speaker's window with notes and minutes "
        "and F for full screen. Printing gives slides and notes; with ?handout added to the address, "
        "slides only."
    )


def run(args: argparse.Namespace) -> int:
    """Write one deck a notebook and an index; return 1 if a notebook failed."""
    import nbformat  # slow

    def make(file: Path, output: Path) -> tuple[str, str]:
        error = ""
        if args.execute:
            print(f"{file.name} …", flush=True)
            notebook, error = gallery.execute(file, timeout=args.timeout)
            nbformat.write(notebook, output / file.name)  # type: ignore[no-untyped-call]
        else:
            notebook = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]
            kit = file.parents[1] / "data" / "executed" / f"{file.stem}.json"
            for kept in (kit, output / file.name):
                notebook = _as_executed(notebook, kept)
        return to_deck(notebook, name=file.stem), error

    about = (
        "Step with arrows or space; S opens the speaker's window, printing gives slides and notes."
    )
    return gallery.write_pages(args, make, "The slides", about, lambda many: count(many, "deck"))


@cache
def _exporter() -> Any:
    from jinja2 import DictLoader  # slow, and only this command wants it
    from nbconvert import SlidesExporter

    return SlidesExporter(  # type: ignore[no-untyped-call]
        extra_loaders=[DictLoader({"deck.html.j2": _part("deck.html.j2")})],
        template_file="deck.html.j2",
        embed_images=True,
    )


def to_deck(notebook: Any, *, name: str) -> str:
    """Return one page with everything in it."""
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

    try:
        one = lesson(name)
        title = f"{one.number} {one.title}"
    except UnknownLessonError:
        title = name
    about = {
        "name": name,
        "title": title,
        "style": STYLE + _part("deck.css"),
        "script": _part("deck.js"),
        "pygments": HtmlFormatter(style="default").get_style_defs(".highlight"),
    }
    still = gallery.still(_without_names(_with_questions(_with_notes(notebook))))
    page, _ = _exporter().from_notebook_node(still, resources={"metadata": about})
    return gallery.relinked(page)


def _as_executed(notebook: Any, kept: Path) -> Any:
    """Return the notebook with the outputs that were kept of it, without those of cells changed since."""
    import nbformat  # slow

    if kept.exists():
        executed = nbformat.read(kept, as_version=4)  # type: ignore[no-untyped-call]
        outputs = {one.source: one.outputs for one in executed.cells if one.cell_type == "code"}
        for cell in (one for one in notebook.cells if one.source in outputs):
            cell.outputs = outputs[cell.source]
    return notebook


def _with_questions(notebook: Any) -> Any:
    """Show the question of each guess in words: a room reads no Python string."""
    for cell in (one for one in notebook.cells if one.cell_type == "code"):
        for node in ast.walk(compile(cell.source, cell.id, "exec", _TREE)):
            match node:
                case ast.Call(func=ast.Name(id="Prediction"), args=[ast.Constant(value=str(said))]):
                    cell.cell_type = "markdown"
                    cell.source = f"**Your guess?** {said}"
    return notebook


def _with_notes(notebook: Any) -> Any:
    """Add a cell of speaker's notes behind each cell whose metadata have some."""
    import nbformat  # slow

    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if (spoken := cell.metadata.get("speaker")) is not None:
            text = f"Teaching this: {count(spoken['minutes'], 'minute')}.\n\n{spoken['notes']}"
            notes = {"slideshow": {"slide_type": "notes"}}
            cells.append(nbformat.v4.new_markdown_cell(text, metadata=notes))  # type: ignore[no-untyped-call]
    notebook.cells = cells
    return notebook


def _without_names(notebook: Any) -> Any:
    """Remove widgets that left no picture: only a class's name would be shown of them."""
    for cell in (one for one in notebook.cells if one.cell_type == "code"):
        cell.outputs = [
            one
            for one in cell.outputs
            if gallery.WIDGET not in (data := one.get("data", {}))
            or any(kind.startswith("image/") or kind == "text/html" for kind in data)
        ]
    return notebook


def _part(name: str) -> str:
    return (_PARTS / name).read_text("utf-8")
