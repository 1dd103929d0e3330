"""`loopclinic gallery`: run the notebooks, keep what they show as HTML that needs no network."""

import argparse
import html
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loopclinic.checks import progress
from loopclinic.lessons import UnknownLessonError, lesson
from loopclinic.places import kit_root

__all__ = ["chosen", "configure", "execute", "index", "relinked", "run", "still", "to_html"]

WIDGET = "application/vnd.jupyter.widget-view+json"
# nbconvert's page fetches MathJax, require.js, Mermaid and widget code from the network.
PAGE = """\
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
"""
INDEX = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>loopclinic: {title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }}
li {{ margin: 0.8rem 0; }} small {{ opacity: 0.75; }}
</style></head><body>
<h1>{title}</h1>
<p>{about}</p>
<ol start="0">
{items}
</ol></body></html>
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("lessons", nargs="*", metavar="NN", help="only these (all)")
    parser.add_argument("--output", type=Path, help="folder to write to (build/gallery)")
    parser.add_argument("--timeout", type=int, default=300, help="seconds a cell may take (300)")


def run(args: argparse.Namespace) -> int:
    """Write one page a notebook and an index; return 1 if a notebook failed."""
    root = kit_root()
    output: Path = args.output or root / "build" / "gallery"
    output.mkdir(parents=True, exist_ok=True)
    files = chosen(root, args.lessons)
    failed = 0
    for file in files:
        began = time.perf_counter()
        print(f"{file.name} …", end=" ", flush=True)
        notebook, error = execute(file, timeout=args.timeout)
        page = output / f"{file.stem}.html"
        page.write_text(to_html(notebook, title=file.stem), encoding="utf-8")
        print(f"{time.perf_counter() - began:.0f} s")
        if error:
            failed += 1
            print(f"{file.name}: {error}", file=sys.stderr)
    about = (
        f"What each one showed when it was last run, on {time.strftime('%Y-%m-%d')}. Widgets stand "
        "still here; in JupyterLab they move."
    )
    contents = index(output, title="The notebooks, executed", about=about)
    (output / "index.html").write_text(contents, encoding="utf-8")
    print(f"{output / 'index.html'}: {len(files)} run, {failed} failed")
    return 1 if failed else 0


def chosen(root: Path, keys: Sequence[str]) -> list[Path]:
    """Return the notebooks of these lessons, all of them for none.

    Raises:
        UnknownLessonError: there is no such lesson.
    """
    names = {lesson(key).name for key in keys}
    files = sorted((root / "notebooks").glob("*.ipynb"))
    return [file for file in files if not names or file.stem in names]


def execute(file: Path, *, timeout: int = 300) -> tuple[Any, str]:
    """Run a notebook as Run All would, in its own folder; return it and the error that ended it.

    `timeout` is in seconds, for each cell. Its checks are nobody's attempts: the learner's progress
    is neither read nor written.
    """
    import nbformat  # noqa: PLC0415 - slow, and only this command wants it
    from nbclient import NotebookClient  # noqa: PLC0415
    from nbclient.exceptions import CellExecutionError, CellTimeoutError  # noqa: PLC0415

    notebook = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": str(file.parent)}},
    )
    with tempfile.TemporaryDirectory(prefix="loopclinic-gallery-") as scratch:
        environ = {**os.environ, progress.VARIABLE: str(Path(scratch) / "progress.json")}
        try:
            # The kernel warns on standard error that it uses TCP.
            client.execute(stderr=subprocess.DEVNULL, env=environ)
        except CellExecutionError as error:
            return notebook, f"{error.ename}: {error.evalue}"
        except CellTimeoutError as error:
            return notebook, str(error).strip().splitlines()[0]
    return notebook, ""


def still(notebook: Any) -> Any:
    """Return the notebook with each widget view replaced by the picture beside it."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET, None)
    return notebook


def to_html(notebook: Any, *, title: str) -> str:
    """Return one page with everything in it."""
    from jinja2 import DictLoader  # noqa: PLC0415 - slow, and only this command wants it
    from nbconvert import HTMLExporter  # noqa: PLC0415

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="lab",
        extra_loaders=[DictLoader({"gallery.html.j2": PAGE})],
        template_file="gallery.html.j2",
        embed_images=True,
    )
    where = {"metadata": {"name": title}}
    page, _ = exporter.from_notebook_node(still(notebook), resources=where)
    return relinked(page)


def relinked(page: str) -> str:
    """Return the page with its links to notebooks and labs right for where it stands."""
    page = re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', page)
    # Pages stand one folder deeper than notebooks do.
    return page.replace('href="../', 'href="../../')


def index(output: Path, *, title: str, about: str) -> str:
    """Return a page that leads to each notebook's page in `output`."""
    items = []
    for page in sorted(output.glob("[0-9]*.html")):
        try:
            one = lesson(page.stem)
            name, summary = f"{one.number} {one.title}", f"{one.summary} {one.minutes} minutes."
        except UnknownLessonError:
            name, summary = page.stem, ""
        link = f'<a href="{page.name}">{html.escape(name)}</a>'
        items.append(
            f"<li value='{int(page.name[:2])}'>{link}<br><small>{html.escape(summary)}</small></li>"
        )
    return INDEX.format(title=html.escape(title), about=html.escape(about), items="\n".join(items))
