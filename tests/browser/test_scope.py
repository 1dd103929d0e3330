"""The scope in JupyterLab keeps updating while the kernel is blocked."""

import re
import time

import pytest

from .jupyterlab import new_page, picture

pytestmark = [
    pytest.mark.browser,
    pytest.mark.prove,
    pytest.mark.timeout(240),
]

SCOPE = "import time, asyncio, ipywidgets, loopclinic\nscope = loopclinic.Scope()\nscope"
SLIDER = "slider = ipywidgets.IntSlider(description='move me')\nslider"
FREEZE = "async def charge():\n    time.sleep(12)\n\nawait charge()"
HOLD = "async def crunch():\n    sum(range(150_000_000))\n\nawait crunch()"


def figure(page, key):
    """Return the number in the scope, in seconds."""
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
        # Reloaded before it is saved, the notebook would come back without the scope.
        with page.expect_response(lambda one: one.request.method == "PUT" and path in one.url):
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


def test_the_link_of_a_stall_opens_its_file_at_the_line(browser, lab):
    (lab.folder / "labs" / "till.py").write_text(
        "import time\n" + "# a comment\n" * 200 + "async def charge():\n    time.sleep(0.5)\n",
        "utf-8",
    )
    path = lab.write(
        "scope-link.ipynb", SCOPE, "import sys\nsys.path.append('../labs')\nimport till\nawait till.charge()"
    )  # fmt: skip
    with new_page(browser) as page:
        notebook = lab.open(page, path)
        notebook.run(0)
        page.locator('.lc-scope[data-state="calm"]').wait_for(timeout=30_000)
        notebook.run(1)
        page.locator("a.lc-where", has_text="till.py:203").click()
        page.get_by_text("Ln 203, Col 1").wait_for(timeout=15_000)
        sleeps = page.locator(".jp-FileEditor .cm-line", has_text="time.sleep(0.5)")
        assert sleeps.is_visible(), "of 203 lines it is scrolled to this one"


def test_it_speaks_too_where_comms_have_no_subshell(browser, lab):
    settings = lab.folder / "jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    setting = settings / "kernels-settings.jupyterlab-settings"
    setting.write_text('{"commsOverSubshells": "disabled"}', "utf-8")
    hear = (
        "import threading\nheard = []\n"
        "slider.observe(lambda _: heard.append(threading.current_thread().name), 'value')"
    )
    path = lab.write("scope-comms.ipynb", SCOPE, SLIDER, hear, FREEZE, "print(set(heard))")
    try:
        with new_page(browser) as page:
            notebook = lab.open(page, path)
            for number in range(3):
                notebook.run(number)
            page.locator('.lc-scope[data-state="calm"]').wait_for(timeout=30_000)
            notebook.start(3)
            page.locator('.lc-scope[data-state="stalled"]').wait_for(timeout=5_000)
            thumb = page.locator(".widget-slider .noUi-handle").first
            thumb.focus()
            page.keyboard.press("ArrowRight")
            wait_for(lambda: figure(page, "lag") > 1, 4, lambda: status(page))
            assert re.match(r"Stalled now for \d\.\d+ s at cell \[4\], line 2", status(page))
            assert notebook.prompt(3) == "[*]:", "the kernel is still frozen"
            notebook.wait(3)
            page.locator('.lc-scope[data-state="calm"]').wait_for(timeout=10_000)
            assert "blocking-sleep" in page.locator(".lc-row", has_text="cell [4]").inner_text()
            notebook.run(4)
            assert "{'MainThread'}" in notebook.cell(4).inner_text(), "the setting was in effect"
    finally:
        setting.unlink()
