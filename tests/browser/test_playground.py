"""The playground in a real JupyterLab: each control under load, each story, and what is left behind."""

import contextlib
import json
import re
import time

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from .jupyterlab import ROOT, Lab, Notebook, new_page, picture

pytestmark = [
    pytest.mark.prove,
    pytest.mark.browser,
    pytest.mark.timeout(400),
]

SHORT = """
from dataclasses import replace
from loopclinic.lessons.playground.stories import STORIES
for name, story in list(STORIES.items()):
    STORIES[name] = replace(story, steps=story.within(4))
"""
CONTROLS = {
    # control: keys, the words of its change on the chart
    "blocking requests": ("ArrowRight", 3, r"2 % block"),
    "for": ("ArrowRight", 2, r"blocks 150 ms"),
    "requests a second": ("ArrowRight", 30, r"130/s"),
    "burstiness": ("ArrowRight", 4, r"bursts of 5"),
    "timeout": ("ArrowLeft", 2, r"timeout 1\.00 s"),
    "retries": ("ArrowRight", 2, r"retries 2"),
    "service time": ("ArrowRight", 3, r"service 40\.0 ms"),
    "its spread": ("ArrowRight", 2, r"spread 0\.5"),
    "concurrency limit": ("ArrowLeft", 1, r"limit 128"),
    "pool size": ("ArrowLeft", 4, r"pool 28"),
    "upstream capacity": ("ArrowLeft", 2, r"capacity 30"),
    "upstream best at": ("ArrowLeft", 2, r"upstream best at 64"),
    "threads": ("ArrowRight", 3, r"threads 11"),
}


def opened(lab: Lab, page: Page, *before: str) -> tuple[Notebook, dict[str, int]]:
    """Open a copy with cells put before the first code cell; return it and the place of each cell."""
    notebook = json.loads((ROOT / "notebooks" / "90_playground.ipynb").read_text("utf-8"))
    for number, source in enumerate(before):
        cell = {"cell_type": "code", "id": f"before-{number}", "metadata": {}, "outputs": []}
        notebook["cells"].insert(0, {**cell, "execution_count": None, "source": source})
    (lab.folder / "notebooks" / "90_playground.ipynb").write_text(json.dumps(notebook), "utf-8")
    places = {cell["id"]: number for number, cell in enumerate(notebook["cells"])}
    return lab.open(page, "notebooks/90_playground.ipynb"), places


def started(notebook: Notebook, page: Page, cell: int) -> Locator:
    """Run the playground's cell; return its chart once it draws."""
    notebook.run(cell, 90)
    plot = page.locator(".lc-plot")
    expect(plot).to_have_attribute("aria-label", re.compile(r"p99 \d"), timeout=60_000)
    return plot


def figure(page: Page, row: str) -> float:
    """Return a measured figure of the table, in seconds or as it stands; 0 where there is none."""
    words = page.locator(".lc-beside tr", has=page.get_by_role("rowheader", name=row, exact=True))
    found = re.match(r"([\d.]+)\s*(ms|s)?", words.locator("td").first.inner_text())
    return float(found[1]) * (0.001 if found[2] == "ms" else 1) if found else 0.0


def least(page: Page, row: str) -> float:
    """Return the least that a figure of the table was in four seconds, which skips effects of the start."""
    seen = []
    for _ in range(20):
        seen.append(figure(page, row))
        time.sleep(0.2)
    return min(found for found in seen if found) if any(seen) else 0.0


def control(page: Page, name: str) -> Locator:
    label = page.locator(".widget-label", has_text=re.compile(rf"^\s*{name}\s*$"))
    return page.locator(".lc-controls .widget-inline-hbox", has=label)


def drag(page: Page, name: str, key: str, times: int) -> None:
    control(page, name).locator(".noUi-handle").focus()
    for _ in range(times):
        page.keyboard.press(key)


def wait(condition, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def family(lab: Lab) -> set[int]:
    """Return the processes of this lab's playgrounds, orphans included: service and callers."""
    mark, mine = "loopclinic.lessons.playground", str(lab.folder)
    found = set()
    for one in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            words = one.info["cmdline"] or ()
            if any(mark in word for word in words) and mine in one.environ().values():
                found.add(one.pid)
    return found


def test_every_control_is_followed_and_nothing_is_left_behind(lab, browser):
    before = family(lab)
    with new_page(browser, height=1300) as page:
        notebook, at = opened(lab, page)
        plot = started(notebook, page, at["playground"])
        wait(lambda: figure(page, "p99") > 0, 20, "no figures")
        page.get_by_role("button", name="More dials").click()
        calm, busy = least(page, "p99"), least(page, "loop busy")
        for name, (key, times, words) in CONTROLS.items():
            drag(page, name, key, times)
            expect(plot).to_contain_text(re.compile(words), timeout=15_000)
            if name == "for":
                # The line follows: the p99 jumps, the loop is busy, and the scope names the line.
                wait(lambda: figure(page, "p99") > 2 * calm, 15, f"p99 {calm} and no more")
                wait(lambda: figure(page, "loop busy") > busy, 15, f"busy {busy} and no more")
                expect(page.locator(".lc-scope")).to_contain_text("time.sleep(seconds)")
                expect(page.locator(".lc-broken")).to_contain_text("stop at once")
                picture(page, "90-light")
            if name == "requests a second":
                wait(lambda: figure(page, "answered") > 110, 20, "the rate was not followed")
        for name, option, words in (
            ("remedy", "sized executor", "sized executor"),
            ("by", "Python at work", "Python at work"),
        ):
            control(page, name).locator("select").select_option(label=option)
            expect(plot).to_contain_text(words, timeout=15_000)

        drag(page, "blocking requests", "Home", 1)
        # Else what a busy machine is late with is worked on for callers who have left, or who retry:
        # that outlives the moment, and is a story of the playground's own.
        for name, key, words in (
            ("retries", "Home", "retries 0"),
            ("service time", "Home", "service 1.00 ms"),
            ("timeout", "End", "timeout 5.00 s"),
        ):
            drag(page, name, key, 1)
            expect(plot).to_contain_text(words, timeout=15_000)
        drag(page, "requests a second", "End", 1)
        expect(plot).to_contain_text("500/s", timeout=15_000)
        wait(lambda: figure(page, "answered") > 150, 60, "more came, and no more were answered")
        drag(page, "pool size", "ArrowRight", 1)
        expect(plot).to_contain_text("pool 29", timeout=15_000)

        page.get_by_placeholder("name of this minute").fill("before")
        page.get_by_role("button", name="Keep").click()
        expect(page.locator(".lc-tray").last).to_contain_text("Kept")
        page.locator(".lc-tray select").select_option(label="before")
        expect(page.locator(".lc-plot .lc-over")).to_have_count(2)
        with page.expect_download() as saved:
            page.get_by_role("button", name="JSON").first.click()
        file = saved.value.path()
        assert json.loads(file.read_text())["name"] == "before"
        with page.expect_download() as saved:
            page.get_by_role("button", name="PNG").first.click()
        assert saved.value.path().read_bytes().startswith(b"\x89PNG")

        wait(lambda: len(family(lab) - before) == 2, 30, "more than service and callers")
        first = family(lab) - before
        notebook.run(at["playground"], 90)  # again
        wait(
            lambda: len(family(lab) - before) == 2 and not family(lab) & first,
            30,
            "the first one stayed",
        )
        started(notebook, page, at["playground"])
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 760, "height": 1900})
        time.sleep(2)
        picture(page, "90-dark-narrow")
    lab.end_kernels()
    wait(lambda: not family(lab) - before, 20, "left behind by the kernel")


@pytest.mark.prove
def test_every_story_is_told(lab, browser):
    with new_page(browser, dark=True, height=1300) as page:
        notebook, at = opened(lab, page, SHORT)
        notebook.run(at["before-0"])
        started(notebook, page, at["playground"])
        caption = page.locator(".lc-caption")
        for title, sentence in (
            ("The 2 % that ruin the p99", "what is left is their own time"),
            ("The pool that is one too small", "The load was the same throughout"),
            ("The retry storm", "for callers that had left"),
            ("The thread pool that hides the block until it is full", "awaited natively"),
            ("The limit that makes everything faster", "the upstream were the same"),
        ):
            page.get_by_role("button", name=title).click()
            expect(caption.locator("strong")).to_have_text(f"{title}.", timeout=10_000)
            expect(caption).to_contain_text(sentence, timeout=30_000)
            if "retry" in title:
                picture(page, "90-dark-story")


def test_a_story_that_a_cell_tells_plays_on_the_screen(lab, browser):
    with new_page(browser, width=900, height=720) as page:
        notebook, at = opened(lab, page, SHORT)
        notebook.run(at["before-0"])
        plot = started(notebook, page, at["playground"])
        notebook.start(at["story"])
        expect(page.locator(".lc-caption strong")).to_have_text("The 2 % that ruin the p99.")
        expect(page.locator(".lc-caption")).to_be_in_viewport(ratio=0.9)
        expect(plot).to_be_in_viewport(ratio=0.9)


def test_a_page_that_is_loaded_again_shows_what_was(lab, browser):
    with new_page(browser, height=1300) as page:
        notebook, at = opened(lab, page)
        plot = started(notebook, page, at["playground"])
        drag(page, "blocking requests", "ArrowRight", 2)
        expect(plot).to_contain_text("1 % block", timeout=15_000)
        page.locator(".jp-Toolbar").get_by_role("button", name="Save").first.click()
        expect(page.locator(".lm-DockPanel .jp-mod-dirty")).to_have_count(0, timeout=15_000)
        page.reload()
        expect(page.locator(".lc-plot")).to_contain_text("1 % block", timeout=90_000)
        expect(page.locator(".lc-scope")).to_be_visible()


def test_a_tab_that_is_closed_leaves_nothing_running(lab, browser):
    """Its kernel stays, as JupyterLab has it; what the playground started in it does not."""
    before = family(lab)
    with new_page(browser, height=1300) as page:
        soon = "from loopclinic.lessons.playground import playground\nplayground._UNSEEN = 30"
        notebook, at = opened(lab, page, soon)
        notebook.run(at["before-0"])
        started(notebook, page, at["playground"])
        mine = family(lab) - before
        assert len(mine) == 2
        time.sleep(18)  # a page that is there says so every 15 s
        assert mine <= family(lab)
        page.close(run_before_unload=False)
    wait(lambda: not family(lab) - before, 60, "it went on without a page")
    assert lab.sessions(), "the kernel is the reader's"
