"""The notebooks in a real JupyterLab: what a learner sees, in both themes, also while frozen."""

import json
import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from .jupyterlab import ROOT, Lab, Notebook, new_page, picture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(400),
]


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
    """Keep pictures of the whole notebook: light and wide, dark and narrow."""
    outer = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer"
    for width, dark in ((1280, False), (620, True)):
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


def seconds(text: str) -> float:
    figure, unit = re.match(r"([\d.]+)\s*(ms|s)", text.strip()).groups()
    return float(figure) / (1000 if unit == "ms" else 1)


def longest_wait(text: str) -> float:
    return seconds(re.search(r"(?:the first for|heard within) ([\d.]+ m?s)", text)[1])


def drag(page: Page, slider: Locator, moves: int, pause: float = 0.08) -> None:
    slider.focus()
    for _ in range(moves):
        page.keyboard.press("ArrowRight")
        time.sleep(pause)


def test_start_here_shows_the_line_while_the_loop_is_frozen(lab, browser):
    with new_page(browser, height=1060) as page:
        notebook, at = opened(lab, page, "00_start_here")
        notebook.run(at["self-check"])
        expect(output(notebook, at["self-check"])).to_contain_text("Labs")
        notebook.run(at["scope"])
        box = output(notebook, at["scope"])
        slider, scope = box.locator(".lc-slider"), box.locator(".lc-scope")
        words = slider.locator(".lc-slider-words")
        expect(scope).to_be_visible()
        drag(page, slider.locator("input"), 3)
        expect(words).not_to_contain_text("Drag it")

        notebook.start(at["blocks"])
        expect(scope).to_have_attribute("data-state", "stalled", timeout=3000)
        drag(page, slider.locator("input"), 8, pause=0.1)
        expect(words).to_contain_text("for the loop")
        expect(scope).to_contain_text(re.compile(r"now for [1-9]\.\d+\s*s"), timeout=3000)
        shown = scope.inner_text()
        assert notebook.prompt(at["blocks"]) == "[*]:", "the loop thawed before the test had looked"
        picture(page, "00-frozen")
        stuck = re.search(r"Stalled[^\n]*?([\d.]+\s*m?s)\s+at\s+cell \[\d+\], line (\d+)", shown)
        assert stuck, shown
        assert seconds(stuck[1]) > 1
        lines = notebook.cell(at["blocks"]).locator(".cm-line").all_inner_texts()
        assert "time.sleep(4)" in lines[int(stuck[2]) - 1]
        assert "time.sleep(4)" in shown

        notebook.wait(at["blocks"])
        expect(words).to_contain_text("came in one heap", timeout=5000)
        notebook.run(at["heap"])
        frozen = output(notebook, at["heap"]).inner_text()
        assert re.search(r"\d+ moves; \d+ waited, the first for", frozen), frozen

        notebook.start(at["awaits"])
        drag(page, slider.locator("input"), 6)
        assert notebook.prompt(at["awaits"]) == "[*]:"
        notebook.wait(at["awaits"])
        for cell in ("no-heap", "marked", "verdict", "routes"):
            notebook.run(at[cell])
        calm = output(notebook, at["no-heap"]).inner_text()
        assert longest_wait(calm) < longest_wait(frozen) / 2
        expect(output(notebook, at["marked"])).to_contain_text("time.sleep(4)")
        whole_page(page, "00")


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
        expect(output(notebook, at["compare"]).locator("img")).to_be_visible()
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
        expect(output(notebook, at["race"]).locator("img")).to_be_visible()
        expect(output(notebook, at["race"])).to_contain_text("throughput")
        notebook.run(at["watch-lab"])
        expect(output(notebook, at["watch-lab"])).to_contain_text("labs/13_standardize")
        whole_page(page, "13")
