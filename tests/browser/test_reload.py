"""What stands on the page after a reload, in a second tab, and once the kernel has gone."""

import json
import re
import time

import pytest
from playwright.sync_api import expect

from .jupyterlab import Notebook, new_page, picture

pytestmark = [pytest.mark.browser, pytest.mark.prove, pytest.mark.timeout(240)]

SCOPE = """\
import time
import loopclinic
from loopclinic.lessons.start_here.slider import Slider
from loopclinic.lessons.story.prediction import Prediction
slider, scope, guess = Slider(), loopclinic.Scope(), Prediction("How long?")
display(slider, scope, guess, loopclinic.watch("01"))"""
FREEZE = """\
async def charge():
    time.sleep(1.5)
with slider.during("time.sleep(1.5)"):
    await charge()"""
BROKEN = "Error displaying widget"


def prepared(lab, page, name):
    """Run both cells, guess, wait until JupyterLab would save what was seen, and save."""
    path = lab.write(name, SCOPE, FREEZE)
    notebook = lab.open(page, path)
    notebook.run(0)
    page.locator(".lc-guess input").focus()
    page.keyboard.press("ArrowRight")
    notebook.run(1)
    expect(notebook.cell(1)).to_contain_text("waited, the first for")
    page.wait_for_timeout(2500)
    save(lab, page, path)
    return path


def save(lab, page, path):
    file = lab.folder / path
    before = file.stat().st_mtime_ns
    page.keyboard.press("Control+s")
    end = time.monotonic() + 10
    while file.stat().st_mtime_ns == before:
        assert time.monotonic() < end, "the notebook was not saved"
        page.wait_for_timeout(50)


def choose(page, entry):
    """Choose an entry of JupyterLab's menu for kernels."""
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile(rf"^{entry}")).first.click()


def again(page):
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=90_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
    return Notebook(page)


def test_widgets_survive_a_reload_and_a_second_tab(lab, browser):
    with new_page(browser) as page:
        path = prepared(lab, page, "reload.ipynb")
        second = page.context.new_page()
        second.goto(f"{lab.base}/lab/workspaces/second/tree/{path}?token={lab.token}&reset")
        page.reload()
        for tab in (page, second):
            notebook = again(tab)
            scope = notebook.cell(0).locator(".lc-scope")
            expect(scope).to_have_attribute("data-state", "calm", timeout=30_000)
            expect(scope).to_contain_text("time.sleep(1.5)")
            expect(notebook.cell(0).locator(".lc-guess-value")).to_contain_text("your guess")
            slider = notebook.cell(0).locator(".lc-slider")
            slider.locator("input").focus()
            tab.keyboard.press("ArrowRight")
            # Which of the two depends on how busy the machine is.
            expect(slider).to_contain_text(re.compile("answer is back within|arrived all at once"))
            expect(notebook.cell(1)).to_contain_text("waited, the first for")
            assert BROKEN not in tab.locator(".jp-Notebook").inner_text()
            watch = notebook.cell(0).locator(".lc-lab")
            expect(watch).to_contain_text("each save is checked")
            expect(watch.locator(".lc-contract li")).to_have_count(8)
        watch.get_by_role("button", name="Next hint").click()
        for tab in (page, second):
            expect(tab.locator(".lc-lab").get_by_role("note")).to_contain_text("Hint 1 of 3")


def test_a_still_picture_stands_where_the_kernel_has_gone(lab, browser):
    with new_page(browser) as page:
        path = prepared(lab, page, "gone.ipynb")
        choose(page, "Shut Down Kernel")
        expect(page.locator(".lc-scope").first).to_have_attribute("data-state", "stopped")
        expect(page.locator(".lc-lab").first).to_contain_text("No kernel answers")
        expect(page.locator(".lc-slider").first).to_contain_text("No kernel answers")
        saved = json.loads((lab.folder / path).read_text())["metadata"]["widgets"]
        assert saved
        page.goto(f"{lab.base}/lab/tree/{path}?token={lab.token}&reset")
        notebook = again(page)
        scope = notebook.cell(0).locator(".lc-scope")
        expect(scope).to_have_attribute("data-state", "stopped", timeout=30_000)
        expect(scope).to_contain_text("saved with the notebook")
        expect(scope).to_contain_text("time.sleep(1.5)")
        expect(notebook.cell(1)).to_contain_text("waited, the first for")
        slider = notebook.cell(0).locator(".lc-slider")
        expect(slider).not_to_have_attribute("data-waiting", "")
        slider.locator("input").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(slider).to_contain_text("No kernel answers")
        expect(notebook.cell(0).locator(".lc-lab")).to_contain_text("No kernel answers")
        assert BROKEN not in page.locator(".jp-Notebook").inner_text()
        picture(page, "scope-gone-light")


def test_a_restart_raises_no_alarm(lab, browser):
    with new_page(browser) as page:
        prepared(lab, page, "restart.ipynb")
        choose(page, "Restart Kernel…")
        page.locator(".jp-Dialog button", has_text="Restart").click()
        scope = page.locator(".lc-scope").first
        expect(scope).to_contain_text("the kernel was restarted, or has ended", timeout=30_000)
        page.wait_for_timeout(2000)  # after one second of silence there would be an alarm
        expect(scope).to_have_attribute("data-state", "stopped")
        for gone in (".lc-slider", ".lc-lab"):
            expect(page.locator(gone).first).to_contain_text("No kernel answers")


def test_the_file_browser_begins_closed(lab, browser):
    for width in (900, 1280):
        with new_page(browser, width=width, height=720) as page:
            for kept in (lab.folder / "home" / "lab-workspaces").glob("*"):
                kept.unlink()
            page.goto(f"{lab.base}/start?token={lab.token}")
            again(page)
            assert not page.locator(".jp-FileBrowser").is_visible()
            picture(page, f"first-page-{width}")


def test_a_terminal_in_jupyterlab_finds_the_command(lab, browser):
    found = lab.folder / "found.txt"
    with new_page(browser) as page:
        page.goto(f"{lab.base}/lab?token={lab.token}&reset")
        page.locator('.jp-LauncherCard[title="Start a new terminal session"]').click()
        page.locator(".jp-Terminal .xterm").wait_for()
        page.wait_for_timeout(1000)
        page.locator(".jp-Terminal .xterm-helper-textarea").focus()
        page.keyboard.type("command -v loopclinic > found.txt\n")
        end = time.monotonic() + 20
        while not (found.exists() and found.read_text().endswith("loopclinic\n")):
            assert time.monotonic() < end, "the terminal did not find loopclinic"
            page.wait_for_timeout(100)
