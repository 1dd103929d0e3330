"""`loopclinic slides`: slides follow the cells' slide types, hold everything, and fetch nothing."""

import re
from pathlib import Path

import nbformat
import pytest

from loopclinic.cli import gallery, slides
from loopclinic.cli.main import main

from .test_gallery import PIXEL, kit, notebook, shown  # noqa: F401 - kit is a fixture

ROOT = Path(__file__).resolve().parents[2]


def typed(cell, kind):
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def words(text, kind="slide"):
    return typed(nbformat.v4.new_markdown_cell(text), kind)


def test_a_deck_fetches_nothing():
    page = slides.to_deck(notebook(words("# Hello")), name="x")
    assert not re.search(r"<script[^>]+src=|<link|@import|url\(['\"]?http|unpkg|cdnjs", page)


def test_slide_types_are_kept_and_notes_stand_aside():
    three = words("Three")
    three.metadata["speaker"] = {"minutes": 1, "notes": "Say *this*."}
    made = notebook(words("# One"), words("two", "fragment"), three)
    page = slides.to_deck(made, name="x")
    assert len(re.findall(r"<section\s*>\s*<section", page)) == 2
    assert page.count('<div class="fragment"') == 1
    aside = re.search(r'<aside class="notes">(.*?)</aside>', page, re.DOTALL)
    assert "<p>Teaching this: 1 minute.</p>\n<p>Say <em>this</em>.</p>" in aside[1]


def test_a_widget_gives_way_to_its_picture_and_without_one_to_nothing():
    view = {"model_id": "abc", "version_major": 2, "version_minor": 0}
    picture = shown({gallery.WIDGET: view, "image/png": PIXEL, "text/plain": "Scope()"})
    bare = shown({gallery.WIDGET: view, "text/plain": "<Slider object at 0x7f>"})
    made = notebook(typed(picture, "slide"), typed(bare, "slide"), words("The end"))
    page = slides.to_deck(made, name="x")
    assert f"data:image/png;base64,{PIXEL}" in page
    assert "Slider object" not in page


@pytest.mark.prove
def test_every_notebook_has_a_deck(tmp_path, capsys):
    assert main(["slides", "--output", str(tmp_path)]) == 0
    names = [one.stem for one in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
    assert [one.stem for one in sorted(tmp_path.glob("[0-9]*.html"))] == names
    index = (tmp_path / "index.html").read_text()
    assert all(f'href="{name}.html"' in index for name in names)
    deck = (tmp_path / "01_blocking_sleep.html").read_text()
    assert "<title>01 One retry, everybody waits</title>" in deck
    assert "Teaching this: 4 minutes." in deck
    assert 'href="../../labs/01_blocking_sleep.py"' in deck


def test_a_guess_is_asked_in_words():
    source = 'guess = Prediction(\n    "How long "\n    "does it take?", unit="s")\nguess'
    page = slides.to_deck(notebook(typed(nbformat.v4.new_code_cell(source), "slide")), name="x")
    assert "<strong>Your guess?</strong> How long does it take?" in page
    assert "Prediction" not in page


def test_a_deck_shows_what_was_kept_of_the_same_cells(kit):  # noqa: F811
    made = notebook(typed(shown({"text/plain": "what it printed"}), "slide"))
    nbformat.write(
        notebook(typed(nbformat.v4.new_code_cell("show()"), "slide")),
        kit / "notebooks" / "00_start_here.ipynb",
    )
    folder = kit / "build" / "slides"
    folder.mkdir(parents=True)
    nbformat.write(made, folder / "00_start_here.ipynb")
    assert main(["slides", "00"]) == 0
    assert "what it printed" in (folder / "00_start_here.html").read_text()
    made.cells[0].source = "show(1)"
    nbformat.write(made, folder / "00_start_here.ipynb")
    assert main(["slides", "00"]) == 0
    assert "what it printed" not in (folder / "00_start_here.html").read_text()


@pytest.mark.prove
def test_executed_decks_hold_outputs_and_failures_are_named(kit, capsys):  # noqa: F811
    good = notebook(typed(nbformat.v4.new_code_cell("print(6 * 7)"), "slide"))
    bad = notebook(typed(nbformat.v4.new_code_cell("1 / 0"), "slide"))
    nbformat.write(good, kit / "notebooks" / "00_start_here.ipynb")
    nbformat.write(bad, kit / "notebooks" / "01_blocking_sleep.ipynb")
    assert main(["slides", "00"]) == 0
    deck = kit / "build" / "slides" / "00_start_here.html"
    assert ">42" not in deck.read_text()
    assert main(["slides", "--execute"]) == 1
    assert "01_blocking_sleep.ipynb: ZeroDivisionError" in capsys.readouterr().err
    assert ">42\n" in deck.read_text()
