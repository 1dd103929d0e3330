"""`loopclinic progress summarize`: the terminal's tables, and a self-contained HTML page."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from loopclinic.cli.main import main
from tests.checks.test_class_results import FIRST, SECOND, handed, lesson

VOID = {"meta", "br", "img", "link"}


class Balanced(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []
        self.words = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def folder(tmp_path):
    room = tmp_path / "room"
    room.mkdir()
    stuck = lesson(4, last=["executor-saturation"])
    (room / "a.json").write_text(handed({FIRST: lesson(3, passed=True)}, token="a"))
    (room / "b.json").write_text(
        handed({FIRST: lesson(2, passed=True), SECOND: stuck}, token="b", name="<b>[red]Bo")
    )
    (room / "half.json").write_text('{"schema": 1, "less')
    return room


def test_the_tables(folder, capsys):
    assert main(["progress", "summarize", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "2 learners. Lesson 02" in out.replace("\n", " ")
    assert re.search(r"unnamed 1 +\+3 +-", out)
    assert re.search(r"<b>\[red\]Bo +\+2 +~4", out)  # shown as typed, no markup
    assert re.search(r"02 +executor-saturation +1 +1", out)
    assert "half.json ends in the middle" in out


def test_the_page_holds_everything_and_fetches_nothing(folder):
    page = folder / "room.html"
    assert main(["progress", "summarize", str(folder), "--html", str(page)]) == 0
    text = page.read_text()
    assert not re.search(r"<script|<link|@import|https?://|src=", text)
    reader = Balanced()
    reader.feed(text)
    assert reader.open == []
    assert "<b>[red]Bo" in reader.words
    assert "half.json ends in the middle: ask for it again." in " ".join(reader.words)
    drawing = ET.fromstring(re.search(r"<svg.*?</svg>", text, re.DOTALL)[0])
    assert "lesson 01: 2 passed, 0 in progress, 0 not started" in drawing.get("aria-label")
    bars = [one for one in drawing.iter("rect") if one.get("height") == "26.0"]
    for_first, for_second = float(bars[0].get("width")), float(bars[1].get("width"))
    assert for_first > 1.9 * for_second  # two of two, and one of two
    # Made again with its own page in the folder: the page is no hand-in, and nobody says so.
    assert main(["progress", "summarize", str(folder), "--html", str(page)]) == 0
    assert "room.html" not in page.read_text()


def test_nothing_to_sum_up(tmp_path, capsys):
    assert main(["progress", "summarize", str(tmp_path)]) == 1
    assert "progress export" in capsys.readouterr().err
    assert main(["progress", "summarize", str(tmp_path / "none")]) == 2
    assert main(["progress", "summarize", __file__]) == 2


def test_a_page_that_cannot_be_written(folder, capsys):
    assert main(["progress", "summarize", str(folder), "--html", str(folder / "no" / "x")]) == 2
    assert "can't be written" in capsys.readouterr().err
