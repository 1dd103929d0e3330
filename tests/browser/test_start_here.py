"""Lesson 00 in JupyterLab: whatever is pressed, the evidence of the frozen loop appears and stays."""

import re

import pytest
from playwright.sync_api import expect

from .jupyterlab import new_page, picture
from .test_notebooks import opened, output, whole_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

WAITED = re.compile(r"time\.sleep\(4\): .*\d+ (moves|ticks); \d+ waited, the first for [\d.]+\ss")
AT_ONCE = re.compile(r"asyncio\.sleep\(4\): .*each reached the loop within")


def press(page, times=1, key="Shift+Enter"):
    for _ in range(times):
        page.keyboard.press(key)


def begin(notebook, at, last="freeze-it"):
    """Run all cells up to `last` by keys alone, as a reader does who only presses Shift+Enter."""
    notebook.page.locator(".jp-Notebook .jp-Cell").first.click()
    press(notebook.page, at[last] + 1)
    expect(output(notebook, at["scope"]).locator(".lc-scope[data-state=calm]")).to_be_attached(
        timeout=60_000
    )


def frozen(notebook, at):
    """Run the cell that blocks by Shift+Enter; return its slider, once the loop is frozen."""
    press(notebook.page)
    slider = output(notebook, at["blocks"]).locator(".lc-slider input")
    expect(slider).to_be_visible()
    return slider


def drag(page, slider, moves=8):
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for number in range(moves):
        page.mouse.move(x + 12 * number, y)
        page.wait_for_timeout(60)
    page.mouse.up()


def in_sight(page, *shown):
    """Assert that each is inside the window, and none covers another."""
    boxes = [one.bounding_box() for one in shown]
    height = page.viewport_size["height"]
    assert all(box["y"] >= 0 and box["y"] + box["height"] <= height for box in boxes), boxes
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            apart = (
                one["y"] + one["height"] <= other["y"]
                or other["y"] + other["height"] <= one["y"]
                or one["x"] + one["width"] <= other["x"]
                or other["x"] + other["width"] <= one["x"]
            )
            assert apart, boxes


@pytest.mark.prove
def test_by_keys_alone_the_frozen_loop_is_seen_on_one_screen(lab, browser):
    with new_page(browser, height=720) as page:
        notebook, at = opened(lab, page, "00_start_here")
        begin(notebook, at)
        slider = frozen(notebook, at)
        banner = page.locator(".lc-chip")
        expect(banner).to_contain_text("time.sleep(4)")
        code = notebook.cell(at["blocks"]).get_by_text("time.sleep(4)").first
        assert notebook.prompt(at["blocks"]) == "[*]:", "the loop thawed before the test had looked"
        in_sight(page, slider, banner, code)
        expect(output(notebook, at["blocks"])).to_contain_text(WAITED, timeout=20_000)
        press(page, 3)  # past the words, to the same wait awaited
        expect(output(notebook, at["awaits"])).to_contain_text(AT_ONCE, timeout=20_000)
        assert notebook.prompt(at["awaits"]) == "[4]:"  # each cell ran once


@pytest.mark.prove
@pytest.mark.parametrize("dark", [False, True])
def test_the_slider_is_dragged_and_the_next_key_runs_the_next_cell(lab, browser, dark):
    with new_page(browser, height=720, dark=dark) as page:
        notebook, at = opened(lab, page, "00_start_here")
        begin(notebook, at)
        first = output(notebook, at["scope"]).locator(".lc-slider")
        drag(page, first.locator("input"), 3)
        expect(first).to_contain_text("The loop's answer is back within")
        slider = frozen(notebook, at)
        drag(page, slider)
        words = output(notebook, at["blocks"]).locator(".lc-slider-words")
        expect(words).to_contain_text("for the loop, the first for")
        picture(page, f"00-frozen-{'dark' if dark else 'light'}")
        # Without a figure: how long they waited is said once, by the picture below.
        expect(words).to_have_text("The moves that waited arrived all at once.", timeout=10_000)
        expect(output(notebook, at["blocks"])).to_contain_text(WAITED)
        expect(output(notebook, at["blocks"])).to_contain_text(re.compile(r"\d moves; \d"))
        said = output(notebook, at["blocks"]).inner_text()
        drag(page, slider)  # too late, and again
        press(page, 3)
        expect(output(notebook, at["awaits"])).to_contain_text(AT_ONCE, timeout=20_000)
        assert notebook.prompt(at["blocks"]) == "[3]:"
        assert WAITED.search(said)[0] in output(notebook, at["blocks"]).inner_text()
        notebook.run(at["scope"])  # run again: a new slider and a new scope
        for cell in ("marked", "verdict", "routes"):
            notebook.run(at[cell])
        expect(output(notebook, at["marked"])).to_contain_text("time.sleep(4)")
        expect(output(notebook, at["blocks"])).to_contain_text(WAITED)
        if not dark:
            whole_page(page, "00")


@pytest.mark.prove
def test_run_all(lab, browser):
    with new_page(browser, height=720) as page:
        notebook, at = opened(lab, page, "00_start_here")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        notebook.wait(at["routes"], 90)
        expect(output(notebook, at["blocks"])).to_contain_text(WAITED)
        expect(output(notebook, at["awaits"])).to_contain_text(AT_ONCE)
        expect(output(notebook, at["marked"])).to_contain_text("time.sleep(4)")


@pytest.mark.prove
def test_a_guess_is_dragged_and_the_next_key_runs_the_next_cell(lab, browser):
    with new_page(browser, height=720) as page:
        notebook, at = opened(lab, page, "01_blocking_sleep")
        page.locator(".jp-Notebook .jp-Cell").first.click()
        press(page, at["guess"] + 1)
        guess = output(notebook, at["guess"]).locator(".lc-guess")
        drag(page, guess.locator("input"))
        expect(guess).to_contain_text("your guess")
        press(page, 2)
        expect(output(notebook, at["scope"]).locator(".lc-scope")).to_be_visible()
        assert notebook.prompt(at["guess"]) == "[2]:"


@pytest.mark.prove
def test_two_presses_of_i_end_a_cell_with_one_sentence_and_it_can_be_run_again(lab, browser):
    with new_page(browser, height=720) as page:
        waits = "count += 1\nawait in_thread(lambda: time.sleep(60 if count == 1 else 0))\ncount"
        path = lab.write(
            "interrupted.ipynb",
            "import time\nfrom loopclinic.servers.sync_async import in_thread\ncount = 0",
            waits,
        )
        notebook = lab.open(page, path)
        notebook.run(0)
        notebook.start(1)
        assert notebook.prompt(1) == "[*]:"
        page.locator(".jp-Notebook").press("Escape")
        press(page, 2, "i")
        said = output(notebook, 1)
        expect(said).to_have_text(
            "Interrupted at cell [2], line 2. The kernel is ready: run this cell again.",
            timeout=20_000,
        )
        # Until then ipykernel drops requests, as it does those that a failed cell has behind it.
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        notebook.run(1, 20)
        expect(said).to_have_text("[3]:2")
