"""The scope in the real JupyterLab: it speaks while the kernel is frozen."""

import re
import time

import pytest

from .jupyterlab import new_page, picture

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(240),
]

SCOPE = "import time, asyncio, ipywidgets, loopclinic\nscope = loopclinic.Scope()\nscope"
SLIDER = "slider = ipywidgets.IntSlider(description='move me')\nslider"
FREEZE = "async def charge():\n    time.sleep(12)\n\nawait charge()"
HOLD = "async def crunch():\n    sum(range(150_000_000))\n\nawait crunch()"


def figure(page, key):
    """The number in the scope, in seconds."""
    number, unit = (
        page.locator(f'[data-figure="{key}"] {tag}').first.inner_text() for tag in ("b", "i")
    )
    return float(number) * {"ms": 0.001, "s": 1, "min": 60}[unit]


def status(page):
    return page.locator(".lc-sentence").first.inner_text().replace("\u00a0", " ")


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.02)


def test_the_line_is_named_while_the_kernel_is_frozen(browser, lab):
    path = lab.write("scope-frozen.ipynb", SCOPE, SLIDER, FREEZE, "print('free', slider.value)")
    with new_page(browser) as page:
        notebook = lab.open(page, path)
        notebook.run(0)
        page.locator('.lc-scope[data-state="calm"]').wait_for(timeout=30_000)
        notebook.run(1)
        picture(page, "scope-idle-light")

        notebook.start(2)
        page.locator('.lc-scope[data-state="stalled"]').wait_for(timeout=5_000)
        wait_for(lambda: figure(page, "lag") > 1, 4, lambda: status(page))
        assert notebook.prompt(2) == "[*]:", "the kernel is still frozen"
        assert re.match(r"Stalled now for \d\.\d+ s at cell \[3\], line 2", status(page))
        assert "time.sleep(12)" in page.locator(".lc-detail").first.inner_text()
        thumb = page.locator(".widget-slider .noUi-handle").first
        thumb.focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        picture(page, "scope-stalled-light")
        assert notebook.prompt(2) == "[*]:", "still frozen after the slider was moved"

        notebook.wait(2)
        page.locator('.lc-scope[data-state="calm"]').wait_for(timeout=10_000)
        row = page.locator(".lc-row", has_text="cell [3], line 2").inner_text()
        assert "blocking-sleep" in row
        assert "lesson 01" in row
        notebook.run(3)
        assert "free 5" in notebook.cell(3).inner_text()
        picture(page, "scope-after-light")


def test_a_call_that_keeps_the_gil_is_told_of_too(browser, lab):
    path = lab.write("scope-gil.ipynb", SCOPE, "await asyncio.sleep(1)", HOLD)
    with new_page(browser, dark=True) as page:
        notebook = lab.open(page, path)
        notebook.run(0)
        page.locator('.lc-scope[data-state="calm"]').wait_for(timeout=30_000)
        notebook.run(1)
        notebook.start(2)
        # Named by the process beside the kernel where there is one, else counted by the browser.
        said = []
        wait_for(
            lambda: said.append(status(page)) or re.search("No heartbeat|keeps the GIL", said[-1]),
            10,
            lambda: str(said[-3:]),
        )
        assert notebook.prompt(2) == "[*]:"
        wait_for(lambda: figure(page, "lag") > 1, 4, lambda: status(page))
        picture(page, "scope-gil-dark")
        notebook.wait(2, 120)
        page.locator('.lc-scope[data-state="calm"]').wait_for(timeout=10_000)
        page.locator(".lc-row", has_text="cell [3], line 2").wait_for(timeout=10_000)
        picture(page, "scope-after-dark")


def test_narrow_and_reloaded_in_the_middle_of_a_stall(browser, lab):
    path = lab.write("scope-narrow.ipynb", SCOPE, FREEZE)
    with new_page(browser, width=620, height=1000) as page:
        notebook = lab.open(page, path)
        notebook.run(0)
        page.locator('.lc-scope[data-state="calm"]').wait_for(timeout=30_000)
        page.keyboard.press("Control+s")
        notebook.start(1)
        page.locator('.lc-scope[data-state="stalled"]').wait_for(timeout=5_000)
        picture(page, "scope-stalled-narrow")
        page.reload()
        # The kernel's own work of coming back may stall it too: ours is one of the rows.
        row = page.locator(".lc-row", has_text="cell [2], line 2")
        row.wait_for(timeout=60_000)
        assert "time.sleep(12)" in row.inner_text()


def test_the_same_cell_run_again_leaves_one_scope_measuring(browser, lab):
    path = lab.write(
        "scope-again.ipynb",
        SCOPE,
        "first = scope",
        "print('first', first.probe.running, 'second', scope.probe.running)",
    )
    with new_page(browser) as page:
        notebook = lab.open(page, path)
        notebook.run(0)
        notebook.run(1)
        notebook.run(0)
        notebook.run(2)
        assert "first False second True" in notebook.cell(2).inner_text()
