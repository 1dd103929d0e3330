"""The lab beside its notebook: split view, checklist, links to lines, and a pass."""

import re

import pytest
from playwright.sync_api import expect

from .jupyterlab import ROOT, new_page, picture

pytestmark = [pytest.mark.browser, pytest.mark.prove, pytest.mark.timeout(240)]

LAB = "01_blocking_sleep.py"


@pytest.fixture
def notebook(lab, browser):
    """A notebook whose second cell watches lab 01 as shipped."""
    (lab.folder / "labs" / LAB).write_text((ROOT / "labs" / LAB).read_text("utf-8"), "utf-8")
    path = lab.write("beside.ipynb", "import loopclinic", 'loopclinic.watch("01")')
    with new_page(browser, width=1280) as page:
        opened = lab.open(page, path)
        opened.run(0)
        opened.run(1)
        yield opened


def test_the_lab_is_opened_read_fixed_and_passed_beside_the_notebook(lab, notebook):
    page, file = notebook.page, lab.folder / "labs" / LAB
    beside, editor = page.locator(".lc-lab"), page.locator(".jp-FileEditor")
    boxes = beside.locator(".lc-contract li")
    expect(boxes).to_have_count(8)
    expect(beside.locator('.lc-contract [data-state="open"]')).to_have_count(8)

    # One click, by keyboard: file on the right, notebook and checklist on the left.
    button = page.get_by_role("button", name="Open beside the notebook")
    button.focus()
    page.keyboard.press("Enter")
    expect(editor).to_be_visible()
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    expect(page.locator(".jp-NotebookPanel")).to_be_visible()
    expect(boxes.first).to_be_in_viewport()
    left, right = beside.bounding_box(), editor.bounding_box()
    assert left["x"] + left["width"] <= right["x"]

    # A save in the editor fills the boxes.
    editor.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("# looked at")
    page.keyboard.press("Control+s")
    expect(beside).to_have_attribute("data-status", "not-yet", timeout=60_000)
    expect(beside.locator('.lc-contract [data-state="open"]')).to_have_count(0)
    expect(page.get_by_role("listitem").filter(has_text="no other caller")).to_contain_text(
        "broken"
    )
    expect(beside.locator(".lc-limit").first).to_be_visible()
    picture(page, "lab-not-yet")

    # A place is a link into the editor at that line.
    link = beside.get_by_role("link", name=re.compile(rf"{re.escape(LAB)}:\d+")).first
    line = int(link.inner_text().rpartition(":")[2])
    link.click()
    shown = page.get_by_role("button", name=re.compile(r"^Ln \d+, Col \d+$"))
    expect(shown).to_have_text(f"Ln {line}, Col 1")

    # The reference passes: visibly, with its dots, and the next lesson one click away.
    file.write_text((ROOT / "solutions" / LAB).read_text("utf-8"), "utf-8")
    expect(beside).to_have_attribute("data-status", "passed", timeout=60_000)
    expect(beside.locator('.lc-contract [data-state="kept"]')).to_have_count(8)
    expect(beside.locator(".lc-difference")).to_have_count(0)
    expect(
        page.get_by_role("img", name=re.compile(r"Promises kept at the last \d"))
    ).to_be_visible()
    picture(page, "lab-passed")
    beside.get_by_role("link", name=re.compile("^Next lesson: 02 ")).click()
    expect(page.get_by_role("tab", name="02_sync_database.ipynb")).to_be_visible()


def test_a_pass_by_another_way_shows_where_it_differs(lab, notebook):
    solution = (ROOT / "solutions" / LAB).read_text("utf-8")
    plain = solution.replace("random.uniform(longest / 2, longest)", "longest")
    assert plain != solution
    (lab.folder / "labs" / LAB).write_text(plain, "utf-8")
    beside = notebook.page.locator(".lc-lab")
    expect(beside).to_have_attribute("data-status", "passed", timeout=60_000)
    expect(beside.locator(".lc-difference")).to_contain_text("x the waits")


def columns(page):
    return page.locator(".lm-DockPanel-widget.jp-Document:not(.lm-mod-hidden)")


def test_a_place_in_a_file_that_is_not_open_yet_is_shown_beside_at_its_line(notebook):
    page = notebook.page
    page.get_by_role("button", name="Check now").click()
    link = page.locator(".lc-lab .lc-where").first
    line = int(link.inner_text(timeout=60_000).rpartition(":")[2])
    link.click()
    expect(page.get_by_role("button", name=re.compile(r"^Ln \d+, Col \d+$"))).to_have_text(
        f"Ln {line}, Col 1"
    )
    expect(columns(page)).to_have_count(2)
    link.hover()
    expect(link).to_have_css("text-decoration-line", "underline")


def test_a_further_file_of_a_lab_becomes_a_tab_beside_the_notebook(lab, browser):
    path = lab.write("folder.ipynb", 'from loopclinic import watch\nwatch("13")')
    with new_page(browser, width=1280) as page:
        lab.open(page, path).run(0)
        page.get_by_role("button", name="Open beside the notebook").click()
        expect(columns(page)).to_have_count(2)
        page.locator(".lc-files").get_by_role("link", name="billing/repository.py").click()
        expect(page.get_by_role("tab", name="repository.py")).to_be_visible()
        expect(columns(page)).to_have_count(2)
        expect(page.locator(".lc-lab")).to_be_in_viewport()


def test_stop_and_hints_answer(notebook):
    beside = notebook.page.locator(".lc-lab")
    beside.get_by_role("button", name="Next hint").click()
    expect(beside.get_by_role("note")).to_contain_text("Hint 1 of 3")
    unsaved = notebook.page.locator(".jp-mod-dirty")
    expect(unsaved).not_to_have_count(0)
    notebook.page.keyboard.press("Control+s")  # a button of the lab has the focus
    expect(unsaved).to_have_count(0)
    beside.get_by_role("button", name="Stop").click()
    expect(beside).to_have_attribute("data-state", "stopped")
    expect(beside.get_by_role("button", name="Check now")).to_be_disabled()
