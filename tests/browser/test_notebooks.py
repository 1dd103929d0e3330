"""The notebooks in a real JupyterLab: what a learner sees, in both themes, also while frozen."""

import json
import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from .jupyterlab import ROOT, Lab, Notebook, new_page, picture

pytestmark = [
    pytest.mark.prove,
    pytest.mark.browser,
    pytest.mark.timeout(400),
]


CUT = """() => [...document.querySelectorAll(".lc-drawing, .lc-wide")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.innerText.slice(0, 60))"""


def opened(lab: Lab, page: Page, name: str) -> tuple[Notebook, dict[str, int]]:
    """Open a fresh copy, with a kernel of its own; return it and the place of each cell."""
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8")
    text = re.sub(r"\brounds=\d+", "rounds=1", text)  # at full length they run without a browser
    (lab.folder / "notebooks" / f"{name}.ipynb").write_text(text, "utf-8")
    cells = json.loads(text)["cells"]
    places = {cell["id"]: number for number, cell in enumerate(cells)}
    return lab.open(page, f"notebooks/{name}.ipynb"), places


def output(notebook: Notebook, number: int) -> Locator:
    return notebook.cell(number).locator(".jp-Cell-outputArea")


def whole_page(page: Page, name: str) -> None:
    """Keep pictures of the whole notebook: light and wide, dark and narrow. At 900 pixels nothing is cut."""
    if page.locator(".jp-FileBrowser").is_visible():
        page.keyboard.press("Control+b")  # closed, as `make lab` begins
    outer = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer"
    for width, dark in ((1280, False), (900, False), (620, True)):
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.set_viewport_size({"width": width, "height": 900})
        height = page.evaluate("s => document.querySelector(s).scrollHeight", outer)
        page.set_viewport_size({"width": width, "height": min(height + 400, 9000)})
        page.evaluate("s => { document.querySelector(s).scrollTop = 0 }", outer)
        wanted = "true" if not dark else "false"
        page.locator(f'body[data-jp-theme-light="{wanted}"]').wait_for(
            state="attached", timeout=10_000
        )
        time.sleep(2)  # the cells that were out of sight are drawn now
        picture(page, f"{name}-{'dark' if dark else 'light'}-{width}")
        assert width < 900 or not page.evaluate(CUT)


def drag(page: Page, slider: Locator, moves: int, pause: float = 0.08) -> None:
    slider.focus()
    for _ in range(moves):
        page.keyboard.press("ArrowRight")
        time.sleep(pause)


def test_blocking_sleep_takes_a_guess_and_holds_it_against_the_measurement(lab, browser):
    with new_page(browser, height=1060) as page:
        notebook, at = opened(lab, page, "01_blocking_sleep")
        for cell in ("antipattern", "guess"):
            notebook.run(at[cell])
        guess = output(notebook, at["guess"]).locator(".lc-guess")
        expect(guess).to_contain_text("move it to guess")
        drag(page, guess.locator("input"), 40, pause=0.005)
        expect(guess).to_contain_text("your guess")
        mine = guess.locator(".lc-guess-value").inner_text().split("\n")[0]

        notebook.run(at["scope"])
        scope = output(notebook, at["scope"]).locator(".lc-scope")
        notebook.start(at["drive"])
        expect(scope).to_have_attribute("data-state", "stalled", timeout=30_000)
        # Stalls of another line may come first: the imports of a cold machine.
        expect(scope).to_contain_text("time.sleep(0.1 * 2**attempt)", timeout=30_000)
        picture(page, "01-frozen")
        notebook.wait(at["drive"])
        notebook.run(at["guess"])
        expect(guess.locator(".lc-guess-value")).to_contain_text(mine)

        for cell in ("victims", "tools", "rung-await", "rung-jitter", "rung-deadline"):
            notebook.run(at[cell])
        expect(output(notebook, at["victims"])).to_contain_text("your guess")
        expect(output(notebook, at["victims"])).to_contain_text(mine.replace("\u00a0", " "))
        expect(output(notebook, at["tools"])).to_contain_text("ASYNC251")
        expect(output(notebook, at["rung-deadline"])).to_contain_text("TimeoutError after")
        notebook.run(at["compare"], 90)
        expect(output(notebook, at["compare"]).locator("svg.lc-chart").first).to_be_visible()
        notebook.run(at["watch-lab"])
        expect(output(notebook, at["watch-lab"])).to_contain_text("labs/01_blocking_sleep.py")
        whole_page(page, "01")


@pytest.mark.prove  # what it runs is run without a browser, too
def test_standardize_holds_four_searches_side_by_side(lab, browser):
    with new_page(browser, height=1060) as page:
        notebook, at = opened(lab, page, "13_standardize")
        for cell in ("antipattern", "guess"):
            notebook.run(at[cell])
        guess = output(notebook, at["guess"]).locator(".lc-guess")
        drag(page, guess.locator("input"), 40, pause=0.005)
        notebook.start(at["drive"])
        scope = output(notebook, at["drive"]).locator(".lc-scope")
        expect(scope).to_have_attribute("data-state", "stalled", timeout=30_000)
        picture(page, "13-frozen")
        notebook.wait(at["drive"])
        for cell in ("search", "gates", "rung-hop", "rung-transaction", "examined", "tests"):
            notebook.run(at[cell], 90)
        expect(output(notebook, at["search"])).to_contain_text("your guess")
        expect(output(notebook, at["search"])).to_contain_text("blocking-db")
        expect(output(notebook, at["gates"])).to_contain_text("passes, status 0")
        expect(output(notebook, at["examined"])).to_contain_text("was booked, too")
        expect(output(notebook, at["tests"])).to_contain_text("never awaited")
        notebook.run(at["race"], 120)
        expect(output(notebook, at["race"]).locator("svg.lc-chart").first).to_be_visible()
        expect(output(notebook, at["race"])).to_contain_text("throughput")
        notebook.run(at["watch-lab"])
        expect(output(notebook, at["watch-lab"])).to_contain_text("labs/13_standardize")
        whole_page(page, "13")
