"""`loopclinic gallery`: runs the notebooks and saves them as HTML pages that need no network."""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from loopclinic.checks import progress
from loopclinic.drawing.document import document
from loopclinic.lessons import UnknownLessonError, lesson
from loopclinic.paths import kit_root
from loopclinic.scope.recorder import WINDOW

_MORE = 1.2
"""Times as much stalled as in the picture so far makes a better picture; less is what other cells do."""
WIDGET = "application/vnd.jupyter.widget-view+json"
_ASK = """\
(lambda widget: widget.newest_histories() if widget else "{}")(
    __import__("sys").modules.get("loopclinic.scope.widget"))"""
# nbconvert's page fetches MathJax, require.js, Mermaid and widget code from the network.
PAGE = """\
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_notebooks(parser, "build/gallery")


def add_notebooks(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add the arguments that choose notebooks, and where their pages go."""
    parser.add_argument("lessons", nargs="*", metavar="NN", help="only these (default: all)")
    parser.add_argument("--output", type=Path, help=f"folder to write to (default: {folder})")
    longest = "seconds that a cell may take (default: 300)"
    parser.add_argument("--timeout", type=int, default=300, help=longest)
    parser.set_defaults(folder=folder)


def run(args: argparse.Namespace) -> int:
    """Write one page a notebook and an index; return 1 if a notebook failed."""

    def make(file: Path, _: Path) -> tuple[str, str]:
        began = time.perf_counter()
        print(f"{file.name} …", end=" ", flush=True)
        notebook, error = execute(file, timeout=args.timeout)
        page = to_html(notebook, title=file.stem)
        print(f"{time.perf_counter() - began:.0f} s")
        return page, error

    about = f"Outputs of the last run, on {time.strftime('%Y-%m-%d')}."
    about += " Widgets are static here; they are live in JupyterLab."
    return write_pages(args, make, "The notebooks, executed", about, lambda many: f"{many} run")


def write_pages(
    args: argparse.Namespace,
    make: Callable[[Path, Path], tuple[str, str]],
    title: str,
    about: str,
    counted: Callable[[int], str],
) -> int:
    """Write a page for each notebook, and an index; return 1 if a notebook failed.

    `make(notebook, folder)` returns its page, and the error that ended it or an empty string.
    """
    root = kit_root()
    output: Path = args.output or root / args.folder
    output.mkdir(parents=True, exist_ok=True)
    files = chosen(root, args.lessons)
    failed = 0
    for file in files:
        page, error = make(file, output)
        (output / f"{file.stem}.html").write_text(page, "utf-8")
        if error:
            failed += 1
            print(f"{file.name}: {error}", file=sys.stderr)
    (output / "index.html").write_text(index(output, title=title, about=about), "utf-8")
    print(f"{output / 'index.html'}: {counted(len(files))}, {failed} failed")
    return 1 if failed else 0


def chosen(root: Path, keys: Sequence[str]) -> list[Path]:
    """Return the notebooks of these lessons, all of them for none; UnknownLessonError if there is no such."""
    names = {lesson(key).name for key in keys}
    files = sorted((root / "notebooks").glob("*.ipynb"))
    return [file for file in files if not names or file.stem in names]


def execute(file: Path, *, timeout: int = 300) -> tuple[Any, str]:
    """Run a notebook as Run All would, in its own folder; return it and the error that ended it.

    `timeout` is in seconds, for each cell. Its checks are nobody's attempts: the learner's progress
    is neither read nor written.
    """
    import nbformat  # slow, and only this command wants it
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    notebook = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": str(file.parent)}},
    )
    seen: dict[str, Any] = {}

    async def look(**_: Any) -> None:
        for model, history in (await _scopes(client)).items():
            if _stalled(history) > _MORE * _stalled(seen.get(model)):
                seen[model] = history

    client.on_cell_executed = look
    with tempfile.TemporaryDirectory(prefix="loopclinic-gallery-") as scratch:
        environ = {**os.environ, progress.VARIABLE: str(Path(scratch) / "progress.json")}
        try:
            # The kernel warns on standard error that it uses TCP.
            client.execute(stderr=subprocess.DEVNULL, env=environ)
        except CellExecutionError as error:
            return notebook, f"{error.ename}: {error.evalue}"
        except CellTimeoutError as error:
            return notebook, str(error).strip().splitlines()[0]
        finally:
            _redraw(notebook, seen)
    return notebook, ""


async def _scopes(client: Any) -> dict[str, Any]:
    """Return what the scopes of a notebook have just seen, by model; see `newest_histories`."""
    request = client.kc.execute("", silent=True, user_expressions={"seen": _ASK})
    while True:
        message = await client.kc.get_shell_msg(timeout=client.timeout)
        if message["parent_header"].get("msg_id") == request:
            break
    found = message["content"]["user_expressions"]["seen"]
    return json.loads(ast.literal_eval(found["data"]["text/plain"]))  # type: ignore[no-any-return]


def _stalled(history: dict[str, Any] | None) -> float:
    """Return the seconds of the stalls that a picture of this history shows, plain cells left out."""
    if history is None or history["now"] is None:
        return 0.0
    since = history["now"]["at"] - WINDOW
    shown = (one for one in history["stalls"] if one["started"] > since and not one["cell"])
    return float(sum(one["seconds"] for one in shown))


def _redraw(notebook: Any, seen: dict[str, Any]) -> None:
    """Show of each scope what it saw while later cells ran, not the calm moment in which it began."""
    from loopclinic.scope.still_picture import picture  # slow
    from loopclinic.scope.widget import png

    for output in (one for cell in notebook.cells for one in cell.get("outputs", ())):
        data = output.get("data", {})
        history = seen.get(data.get(WIDGET, {}).get("model_id"))
        if history is not None and "image/png" in data:
            data["image/png"] = png(picture(history))


def still(notebook: Any) -> Any:
    """Return the notebook with each widget view replaced by the picture beside it."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET, None)
    return notebook


def to_html(notebook: Any, *, title: str) -> str:
    """Return one page with everything in it."""
    from jinja2 import DictLoader  # slow, and only this command wants it
    from nbconvert import HTMLExporter

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
        link = f'<a href="{page.name}">{escape(name)}</a>'
        about_it = f'<span class="lc-muted">{escape(summary)}</span>'
        items.append(f'<li value="{int(page.name[:2])}"><p>{link}<br>{about_it}</p></li>')
    listed = f'<ol start="0">{"".join(items)}</ol>'
    head = f"<h1>{escape(title)}</h1>\n<p>{escape(about)}</p>"
    return document(f"loopclinic: {title}", [head, listed])
