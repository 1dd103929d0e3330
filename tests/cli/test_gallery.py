"""`loopclinic gallery`: pages show what the notebooks showed, and open without a network."""

import base64
import io
import re

import nbformat
import pytest
from PIL import Image, ImageColor

from loopclinic.checks import progress
from loopclinic.cli import gallery
from loopclinic.cli.main import main
from loopclinic.scope import still_picture

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


CHECKS = """
from loopclinic.checks import progress
from loopclinic.verdict import Verdict
with progress.change() as kept:
    kept.note(Verdict("01_blocking_sleep", "not-yet"))
print(progress.read().of("01_blocking_sleep").attempts, "attempt(s)")
"""
"""What a check does of which an attempt is made."""


def notebook(*cells):
    made = nbformat.v4.new_notebook(cells=list(cells))
    made.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    return made


def shown(data):
    output = nbformat.v4.new_output("display_data", data=data)
    return nbformat.v4.new_code_cell("show()", outputs=[output], execution_count=1)


def test_a_widget_gives_way_to_its_picture():
    view = {"model_id": "abc", "version_major": 2, "version_minor": 0}
    made = notebook(shown({gallery.WIDGET: view, "image/png": PIXEL, "text/plain": "Scope()"}))
    made.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    page = gallery.to_html(made, title="x")
    assert f"data:image/png;base64,{PIXEL}" in page
    assert "abc" not in page
    assert "widget-state" not in page


def test_a_page_fetches_nothing():
    page = gallery.to_html(notebook(nbformat.v4.new_markdown_cell("# Hello")), title="x")
    assert not re.search(r"<script[^>]+src=|<link[^>]+href=|@import|url\(['\"]?http", page)
    assert "cdnjs" not in page
    assert "unpkg" not in page


def test_links_lead_to_the_other_pages_and_to_the_labs():
    text = "[next](01_blocking_sleep.ipynb) [lab](../labs/01_blocking_sleep.py)"
    page = gallery.to_html(notebook(nbformat.v4.new_markdown_cell(text)), title="x")
    assert 'href="01_blocking_sleep.html"' in page
    assert 'href="../../labs/01_blocking_sleep.py"' in page


@pytest.fixture
def kit(tmp_path, monkeypatch):
    (tmp_path / "labs").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "solutions").mkdir()
    monkeypatch.setenv("LOOPCLINIC_ROOT", str(tmp_path))
    return tmp_path


@pytest.mark.prove
def test_notebooks_are_run_where_they_stand_and_failures_are_named(kit, capsys):
    good = notebook(
        nbformat.v4.new_code_cell("import pathlib; print('in', pathlib.Path.cwd().name)"),
        nbformat.v4.new_code_cell(CHECKS),
    )
    bad = notebook(nbformat.v4.new_code_cell("1 / 0"))
    nbformat.write(good, kit / "notebooks" / "00_start_here.ipynb")
    nbformat.write(bad, kit / "notebooks" / "01_blocking_sleep.ipynb")
    assert main(["gallery"]) == 1
    said = capsys.readouterr()
    assert "01_blocking_sleep.ipynb: ZeroDivisionError: division by zero" in said.err
    assert "2 run, 1 failed" in said.out
    folder = kit / "build" / "gallery"
    assert "in notebooks" in (folder / "00_start_here.html").read_text()
    assert "ZeroDivisionError" in (folder / "01_blocking_sleep.html").read_text()
    index = (folder / "index.html").read_text()
    assert 'href="00_start_here.html"' in index
    assert 'href="01_blocking_sleep.html"' in index
    before = nbformat.read(kit / "notebooks" / "00_start_here.ipynb", 4)
    assert before.cells[0].outputs == []  # the repository's notebook stays as it was
    assert "1 attempt(s)" in (folder / "00_start_here.html").read_text()
    assert progress.read().of("01_blocking_sleep").attempts == 0  # that was nobody's


WATCHED = """
import time
import loopclinic
scope = loopclinic.Scope()
scope"""


@pytest.mark.prove
def test_a_scope_shows_what_it_saw_in_later_cells(tmp_path):
    file = tmp_path / "00_watched.ipynb"
    blocks = "async def charge():\n    time.sleep(0.4)\nawait charge()"
    cells = [nbformat.v4.new_code_cell(source) for source in (WATCHED, blocks)]
    calm, seen = notebook(cells[0]), notebook(*cells)
    nbformat.write(calm, file)
    (without, _), _ = gallery.execute(file), nbformat.write(seen, file)
    run, error = gallery.execute(file)
    assert error == ""
    before, after = (
        Image.open(io.BytesIO(base64.b64decode(one.cells[0].outputs[0].data["image/png"])))
        for one in (without, run)
    )
    orange = ImageColor.getrgb(still_picture._LIGHT.stall)
    drawn = [
        {color: many for many, color in one.convert("RGB").getcolors(1 << 24)}[orange]
        for one in (before, after)
    ]
    assert drawn[1] > 2 * drawn[0]  # the legend has a mark, too
