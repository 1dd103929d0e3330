"""Charts, diagrams and tables on a page as narrow as a notebook with the file browser open."""

import pytest

from loopclinic.drawing.charts import Bar, Series, Strip, bars, strips
from loopclinic.drawing.diagram import Arrow, Box, diagram, rows_of_places
from loopclinic.drawing.lag_strip import lag_strip
from loopclinic.drawing.tables import Drawing, bold, code, table
from loopclinic.timeline.lane_picture import drawing_of
from loopclinic.timeline.model import Lane, LaneStall, Span, Trace

from .jupyterlab import new_page

pytestmark = [pytest.mark.browser]

_LABEL = "from when the request was due to its answer (log scale), a dot a caller"
_DOTS = Series([(0.02, 0.5), (0.4, 0.2)], "gray", line=False, dots=True)
_STRIPS = [Strip(f"{n} callers did not retry, and one more did", [_DOTS], top=1) for n in (100, 20)]
_BOXES = (
    Box("The event loop", "app.py:34", 380, 32, lit=True),
    Box("The connection", "3 of 3 taken", 615, 160, lit=True),
    Box("The task that holds it", "not finished", 145, 160, lit=True),
)
_ARROWS = tuple(Arrow(at, (at + 1) % 3, "waits for the connection", lit=True) for at in range(3))
_STALLS = [{"started": 2.0, "seconds": 1.5, "where": "app.py:3"}]
_TRACE = Trace(
    (
        Lane(
            "a task with a long name", (Span("running", 0, 1),), outcome="failed", error="KeyError"
        ),
    ),
    1.0,
    stalls=(LaneStall(0.7, 0.9, "some_module.py:123", "time.sleep(1)"),),
)
_DRAWINGS = {
    "bars": bars(
        [Bar("in_thread", 1.5, around=(1.2, 1.9)), Bar("a_name_of_some_length", 300.0)],
        write="{:,.0f} ms".format,
        label="Posts a second: median of the rounds",
        bound=(330.0, "twelve at a time, divided by the latency of the line"),
    ),
    "strips": strips(
        _STRIPS,
        low=0.01,
        high=1,
        ticks=[0.01, 0.02, 0.03, 0.1, 0.2, 1],
        label=_LABEL,
        log=True,
        marks=[(0.02, "alone: 20 ms")],
    ),
    "diagram": diagram(_BOXES, _ARROWS, height=196, title="They wait.", middle="nobody can go on"),
    "places": rows_of_places([("places", 4, 16, "calm", "1,234 accepted")], title="4 of 16"),
    "lag": lag_strip([(1.0, 0.01)], _STALLS, span=(0, 10), title="Lag"),
    "lanes": drawing_of(_TRACE).html,
    "table": table(
        ["Ask", "It answers", "It sees", "It misses"],
        [[bold("debug mode", "python -X dev"), code("line 53: blocking-sdk"), "calls on the loop", "the queue of threads"]],
    ).html,
}  # fmt: skip
_FIGURES = table(
    ["", "mean", "by theory", "p99", "by theory", "answered", "by theory"],
    [["140/s, timeout 300 ms, retries 3, and a note of some length", "1.2 s", "grows", "221 ms", "238 ms", "6/s", "120/s"]],
).html  # fmt: skip
_SCORE = table(
    ["Deploy under load", "204", "Lost", "Put off", "Failed", "Threads", "Connections", "Gone after"],
    [[code("LoopPerRequest", "a loop and a pool for each request"), "135", "79", "99", "0", "75", "76", "465 ms"]],
).html  # fmt: skip
_NAMES = table(
    ["", "Plain", "After nest_asyncio.apply()", "After nest_asyncio2.apply()"],
    [
        [bold("It allows: ") + "run_until_complete on a running loop", code("RuntimeError: This event loop is already running"), code("allowed"), code("allowed")],
        [bold("It costs: ") + "40,000 switches", code("79 ms"), code("90 ms: 1.12 times as long"), code("96 ms: 1.23 times as long")],
    ],
).html  # fmt: skip
_BROKEN = """
(root) => {
  const found = [];
  const texts = document.createTreeWalker(document.querySelector(root), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const top = (at) => { const one = document.createRange(); one.setStart(text, at); one.setEnd(text, at + 1); return one.getClientRects()[0]?.top ?? 0; };
    for (let at = 1; at < text.data.length; at += 1) if (top(at) - top(at - 1) > 8) found.push(text.data[at - 1]);
  }
  return found;
}
"""
"""The letters after which a line breaks within a piece of text."""
_OUTSIDE = """
() => {
  const found = [];
  const shown = (node) => node.getClientRects().length > 0;
  for (const svg of [...document.querySelectorAll("svg")].filter(shown)) {
    const { left, right } = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (box.left < left - 2 || box.right > right + 2) found.push(text.textContent);
    }
  }
  const drawing = document.querySelector(".lc-drawing");
  if (drawing.scrollWidth > drawing.clientWidth + 1) found.push(`scrolls ${drawing.scrollWidth}`);
  return found;
}
"""


@pytest.fixture(scope="module")
def page(browser):
    with new_page(browser, width=900, height=900) as page:
        yield page


@pytest.mark.parametrize("width", [360, 440, 800])
@pytest.mark.parametrize("name", _DRAWINGS)
def test_a_drawing_fits_its_page_with_all_its_words(page, name, width):
    shown = Drawing(_DRAWINGS[name], "")._repr_html_()
    page.set_content(f"<div style='width:{width}px'>{shown}</div>")
    assert page.evaluate(_OUTSIDE) == []


def test_words_stay_readable_on_a_narrow_page(page):
    for name in ("bars", "strips", "lag", "lanes"):
        shown = Drawing(_DRAWINGS[name], "")._repr_html_()
        page.set_content(f"<div style='width:440px'>{shown}</div>")
        height = page.evaluate(
            "() => Math.min(...[...document.querySelectorAll('svg text')]"
            ".map((one) => one.getBoundingClientRect().height).filter(Boolean))"
        )
        assert height >= 11, f"{name}: the smallest words are {height:.1f} px high"


def test_a_mark_leaves_titles_and_figures_free(page):
    for name in ("bars", "strips"):
        page.set_content(Drawing(_DRAWINGS[name], "")._repr_html_())
        crossed = page.evaluate(
            """() => {
              const boxes = (what) => [...document.querySelectorAll(what)].map((one) => one.getBoundingClientRect()).filter((one) => one.height);
              const lines = boxes("line.lc-threshold");
              return [lines.length, boxes("text.lc-strong").filter((word) => lines.some((line) => line.left > word.left && line.left < word.right && line.top < word.bottom - 3 && line.bottom > word.top + 3)).length];
            }"""
        )
        assert crossed[0] > 1
        assert crossed[1] == 0, name


def test_a_figure_and_its_unit_stay_on_one_line(page):
    page.set_content(f"<div style='width:440px'>{Drawing(_FIGURES, '')._repr_html_()}</div>")
    lines = """() => [...document.querySelectorAll("td")].slice(1).map((one) => {
      const words = document.createRange();
      words.selectNodeContents(one);
      return words.getClientRects().length;
    })"""
    assert page.evaluate(lines) == [1] * 6
    assert page.evaluate(_OUTSIDE) == []


def test_a_long_name_in_a_table_breaks_where_its_parts_join(page):
    page.set_content(f"<div style='width:440px'>{Drawing(_NAMES, '')._repr_html_()}</div>")
    ends = page.evaluate(_BROKEN, "table")
    assert len(ends) > 2
    assert set(ends) == {" "}
    assert page.evaluate(_OUTSIDE) == []


def test_a_table_of_eight_columns_fits_beside_the_file_browser(page):
    page.set_content(f"<div style='width:448px'>{Drawing(_SCORE, '')._repr_html_()}</div>")
    assert page.evaluate(_OUTSIDE) == []


def test_what_a_cell_prints_breaks_between_words(page):
    words = "others waited up to 859 ms, and one more " * 6
    area = f"<div class='jp-OutputArea-output'><pre>{words}</pre></div>"
    broken = "<style>pre { word-break: break-all; white-space: pre-wrap; font-size: 13px; }</style>"
    shown = Drawing.note("Any drawing.")._repr_html_()
    page.set_content(f"{broken}<div class='jp-Notebook' style='width:440px'>{shown}{area}</div>")
    ends = page.evaluate(_BROKEN, ".jp-Notebook pre")
    assert len(ends) > 2
    assert set(ends) == {" "}
