"""Charts and tables: their scales, and what they say as text."""

import pytest

from loopclinic.drawing.charts import answers, columns, scale
from loopclinic.drawing.tables import bar, bold, code, table


@pytest.mark.parametrize(
    ("top", "most", "ticks"),
    [
        (5, 5, [0, 1, 2, 3, 4, 5]),
        (105, 5, [0, 25, 50, 75, 100]),
        (1.5, 8, [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4]),
        (0.01, 5, [0, 0.002, 0.004, 0.006, 0.008, 0.01]),
    ],
)
def test_ticks_are_round_and_few(top, most, ticks):
    assert scale(top, most) == ticks


def test_answers_share_a_scale():
    calm, storm = {200: {1: 5}}, {200: {1: 5}, 429: {0: 50}, 0: {2: 20}}
    drawn = answers(("calm", calm), ("storm", storm))
    assert drawn.html.count("<svg") == 2 * 2  # for a wide page and a narrow one
    assert str(drawn) == "calm\nstorm"
    alone = answers(("calm", calm))
    assert drawn.html.split("</svg>")[0] != alone.html.split("</svg>")[0]


def test_columns_say_how_wide_they_are_and_how_high_the_highest_is():
    drawn = columns("requests", ("late", {"request": {0: 7, 179: 1}}))
    assert "requests in 20 ms" in drawn.html
    assert ">7</text>" in drawn.html


def test_nothing_is_a_dash_in_a_table_also_where_there_would_be_code():
    assert "<code>" not in table(["", ""], [["a", code("-")], ["b", "-"]]).html


def test_a_table_is_told_as_text_a_line_a_row():
    rows = [
        [code("first"), bar(0.5), "1 < 2", "-"],
        [bold("second", "how"), bar(1.0), "two\nlines", "3"],
    ]
    drawn = table(["Way", "Share", "Figure", "More"], rows, sentence="So.", note="Medians.")
    assert str(drawn).splitlines() == [
        "first: Figure 1 < 2; More -",
        "second: Figure two, lines; More 3",
        "So.",
        "Medians.",
    ]
    assert "1 &lt; 2" in drawn.html
    assert "two<br>lines" in drawn.html
