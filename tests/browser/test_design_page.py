"""The page of a design review in Chromium: without a network, without scripts, on paper."""

import pytest

from loopclinic.probe import Stall
from tests.design.test_design import measured, reviewed, vitals

from .jupyterlab import PICTURES

pytestmark = pytest.mark.browser


@pytest.fixture
def file(tmp_path):
    stall = Stall(0.1, 0.2, "/srv/" + "long/" * 20 + "app.py", 3, "f", "time.sleep(0.2)" * 9)
    found = measured([vitals(0.3, stalls=(stall,))] * 3, [vitals(0.1)] * 3, names=("a", "b"))
    path = tmp_path / "review.html"
    path.write_text(reviewed(found, command="loopclinic " + "word " * 60).to_html(), "utf-8")
    return path


@pytest.mark.parametrize("width", [1200, 420])
def test_it_opens_offline_and_without_scripts_and_fits(browser, file, width):
    context = browser.new_context(
        offline=True,
        java_script_enabled=False,
        color_scheme="dark" if width > 1000 else "light",
        viewport={"width": width, "height": 800},
    )
    try:
        page = context.new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        assert asked == [file.as_uri()]
        box = page.locator("body").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        for part in ("a and b", "slowest request", "Figures", "difference", "Words"):
            assert page.get_by_text(part).first.is_visible()
        plots = page.locator("figure svg:visible")
        assert plots.count() == 2
        scale = "one => one.getBoundingClientRect().width / one.viewBox.baseVal.width"
        assert plots.first.evaluate(scale) >= 0.8, "its words are readable"
        assert plots.last.bounding_box()["height"] > 100
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"design-page-{width}.png", full_page=True)
        page.emulate_media(media="print", color_scheme="light")
        paper = page.pdf(path=PICTURES / "design-page.pdf", format="A4")
        assert paper.startswith(b"%PDF")
    finally:
        context.close()
