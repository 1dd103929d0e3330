"""`loopclinic slides`: each notebook as a deck, one page of HTML that needs no network.

nbconvert reads the slide types of cells and exports them as it does for reveal.js; that itself would
come from the network, so a small script of ours takes its place (deck/), which also cuts what is
too much for one slide. S opens the speaker's window; printing gives the slides with the notes.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from loopclinic.cli import gallery
from loopclinic.lessons import UnknownLessonError, lesson
from loopclinic.places import kit_root

__all__ = ["configure", "run", "to_deck"]

_PARTS = Path(__file__).parent / "deck"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("lessons", nargs="*", metavar="NN", help="only these (all)")
    parser.add_argument(
        "--execute", action="store_true", help="run the cells, and show what they show"
    )
    parser.add_argument("--output", type=Path, help="folder to write to (build/slides)")
    parser.add_argument("--timeout", type=int, default=300, help="seconds a cell may take (300)")
    parser.epilog = (
        "In a deck: arrows or space step on and back, S opens the speaker's window with notes and "
        "minutes, F fills the screen, printing gives slides and notes (with ?handout behind the "
        "address: slides alone)."
    )


def run(args: argparse.Namespace) -> int:
    """Write one deck a notebook and an index; return 1 if a notebook failed."""
    import nbformat  # noqa: PLC0415 - slow

    root = kit_root()
    output: Path = args.output or root / "build" / "slides"
    output.mkdir(parents=True, exist_ok=True)
    files = gallery.chosen(root, args.lessons)
    failed = 0
    for file in files:
        error = ""
        if args.execute:
            print(f"{file.name} …", flush=True)
            notebook, error = gallery.execute(file, timeout=args.timeout)
        else:
            notebook = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]
        (output / f"{file.stem}.html").write_text(to_deck(notebook, name=file.stem), "utf-8")
        if error:
            failed += 1
            print(f"{file.name}: {error}", file=sys.stderr)
    about = (
        "Arrows or space step on, S opens the speaker's window, printing gives slides and notes."
    )
    page = gallery.index(output, title="The slides", about=about)
    (output / "index.html").write_text(page, "utf-8")
    print(f"{output / 'index.html'}: {len(files)} decks, {failed} failed")
    return 1 if failed else 0


def to_deck(notebook: Any, *, name: str) -> str:
    """Return one page with everything in it."""
    from jinja2 import DictLoader  # noqa: PLC0415 - slow, and only this command wants it
    from nbconvert import SlidesExporter  # noqa: PLC0415
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped] # noqa: PLC0415

    exporter = SlidesExporter(  # type: ignore[no-untyped-call]
        extra_loaders=[DictLoader({"deck.html.j2": _part("deck.html.j2")})],
        template_file="deck.html.j2",
        embed_images=True,
    )
    try:
        one = lesson(name)
        title = f"{one.number} {one.title}"
    except UnknownLessonError:
        title = name
    about = {
        "name": name,
        "title": title,
        "style": _part("deck.css"),
        "script": _part("deck.js"),
        "pygments": HtmlFormatter(style="default").get_style_defs(".highlight"),
    }
    still = gallery.still(_without_names(notebook))
    page, _ = exporter.from_notebook_node(still, resources={"metadata": about})
    return gallery.relinked(page)


def _without_names(notebook: Any) -> Any:
    """Take out widgets that left no picture: of them only the name of a class would be shown."""
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
