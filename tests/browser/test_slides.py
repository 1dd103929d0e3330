"""A slide deck in Chromium: no overflow, steps work, and the speaker window follows."""

import base64
import io
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from loopclinic.cli import slides
from tests.cli.test_gallery import notebook, shown
from tests.cli.test_slides import typed, words

pytestmark = [pytest.mark.browser, pytest.mark.prove]

ROOT = Path(__file__).resolve().parents[2]
OVER = """() => {
  const page = document.querySelector(".page.now"), edge = page.getBoundingClientRect();
  return [...page.querySelectorAll("*")].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width && box.height && (box.left < edge.left - 1 || box.right > edge.right + 1
      || box.top < edge.top - 1 || box.bottom > edge.bottom + 1);
  }).map((one) => `${one.tagName}.${one.className}`);
}"""


@pytest.fixture
def opened(browser, tmp_path):
    """Open a deck from a file, offline, as on a projector of 1280 by 720."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 720}, color_scheme="light", offline=True
    )

    def deck(made, name="x"):
        file = tmp_path / f"{name}.html"
        file.write_text(slides.to_deck(made, name=name), "utf-8")
        page = context.new_page()
        page.wrong = []
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on(
            "request",
            lambda one: page.wrong.append(one.url) if one.url.startswith("http") else None,
        )
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-pages]")
        return page

    yield deck
    context.close()


def look_at_all(page):
    """Step through the whole deck; return what stood on each page at its last step."""
    seen, before = [], None
    while True:
        assert page.evaluate(OVER) == [], page.text_content("#where")
        now = page.text_content("#where")
        text = page.inner_text(".page.now")
        if now != before:
            seen.append(text)
        later = page.locator(".page.now .later").count()
        page.keyboard.press("ArrowRight")
        if not later and page.text_content("#where") == now:
            assert page.wrong == []
            return seen
        before = now


def read(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize(
    "name", [one.stem for one in sorted((ROOT / "notebooks").glob("0[0-4]*.ipynb"))]
)
def test_no_slide_overflows(opened, name):
    page = opened(read(name), name)
    seen = look_at_all(page)
    assert len(seen) == int(page.get_attribute("html", "data-pages")) > 5


def test_what_is_too_much_is_cut_or_made_smaller(opened):
    kept = io.BytesIO()
    Image.new("RGB", (900, 3000), "teal").save(kept, "png")
    tall = shown({"image/png": base64.b64encode(kept.getvalue()).decode(), "text/plain": "x"})
    rows = "".join(f"<td>{number * 10**9}</td>" for number in range(14))
    wide = shown(
        {"text/html": f"<div style='overflow-x:auto'><table><tr>{rows}</tr></table></div>"}
    )
    long = shown({"text/plain": "\n".join(f"line {n}" for n in range(120))})
    made = notebook(
        words("# A title\n\nhello"),
        *(typed(one, "slide") for one in (tall, wide, long)),
        *(words("A sentence that says something. " * 12, "fragment") for _ in range(5)),
        words("## " + "A heading that is long " * 6),
    )
    page = opened(made)
    assert len(look_at_all(page)) > 6
    sizes = page.evaluate("[...document.querySelectorAll('.piece')].map((one) => +one.style.zoom)")
    table = page.evaluate("+document.querySelector('.piece:has(table)').style.zoom")
    assert 0.4 < table < 1.4  # as small as it has to be, and no smaller
    assert max(sizes) == 1.4


def test_steps(opened):
    made = notebook(words("# T\n\nzero"), words("one", "fragment"), words("two", "fragment"))
    page = opened(notebook(*made.cells, words("## Next")))
    shown_now = "[...document.querySelectorAll('.page.now .piece:not(.later)')].length"
    for key, count in (("ArrowRight", 2), (" ", 3), ("ArrowLeft", 2), ("Home", 1)):
        page.keyboard.press(key)
        assert page.evaluate(shown_now) == count, key
    page.keyboard.press("End")
    assert page.text_content("#where") == "2 of 2"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(shown_now) == 3  # back to what the room last saw
    page.reload()
    assert page.text_content("#where") == "1 of 2"


def test_the_speaker_sees_the_notes_and_the_room_does_not(opened):
    page = opened(read("01_blocking_sleep"), "01_blocking_sleep")
    assert "Teaching this" not in page.inner_text("body")
    with page.expect_popup() as popped:
        page.keyboard.press("s")
    speaker = popped.value
    assert "of 25 planned; 0 planned before" in speaker.text_content("#time")
    notes = "Have everybody commit before anybody talks."
    assert notes in speaker.text_content(
        "#notes"
    )  # said over the next pages, up to where it stands
    speaker.keyboard.press("ArrowRight")
    assert page.text_content("#where").startswith("2 of")
    assert "Predict" in speaker.text_content("#now")
    assert page.wrong == []


def test_printed_it_has_every_page_and_the_notes(opened, tmp_path):
    first = words("# T")
    first.metadata["speaker"] = {"minutes": 3, "notes": "Say."}
    made = notebook(first, words("## U"))
    page = opened(made)
    page.emulate_media(media="print")
    assert page.locator(".page, .spoken").count() == 3
    visible = [one.is_visible() for one in page.locator(".page, .spoken").all()]
    assert visible == [True, True, True]
    assert page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") == 3
