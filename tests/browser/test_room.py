"""A live room with five learners: real commands in processes of their own, the page in Chromium."""

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from playwright.sync_api import expect

from loopclinic.checks import progress
from loopclinic.recall import guesses
from loopclinic.verdict import Reason, Verdict

from .jupyterlab import new_page, picture
from .test_notebooks import drag, opened, output

pytestmark = [pytest.mark.prove, pytest.mark.browser, pytest.mark.timeout(240)]

HOSTILE = "<img src=x onerror=\"document.title='hostile'\">"
ASKED = "120 callers arrive within three seconds, on one event loop."
SECONDS = {"Kim": 0.02, "Lee": 0.5, "": 0.06, HOSTILE: 3.0}
"""Who guessed what in lesson 01."""


@contextlib.contextmanager
def started(*words, home, log):
    """Run a command of the kit until the end of the test, then press Ctrl-C."""
    environ = {**os.environ, "LOOPCLINIC_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "loopclinic", *words]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environ, stdout=out, stderr=out, cwd=home)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)


def said(log, pattern):
    """Wait until a command has printed something; return it."""
    end = time.monotonic() + 60
    while not (found := re.search(pattern, log.read_text())):
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    return found[1]


@contextlib.contextmanager
def joined(line, name, home, log):
    """Guess, and be in the room until the end of the test."""
    if name in SECONDS:
        guesses.note(ASKED, SECONDS[name])
    named = ("--name", name) if name else ()
    with started("join", line, *named, home=home, log=log):
        said(log, "(You are in the room)")
        yield


def as_learner(monkeypatch, home):
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("LOOPCLINIC_HOME", str(home))


def check(*reasons, lesson="01_blocking_sleep", status="not-yet"):
    with progress.change() as kept:
        kept.note(Verdict(lesson, status, tuple(reasons)))


def guess_in_jupyterlab(lab, browser):
    """Drag the slider of notebook 01."""
    with new_page(browser) as page:
        notebook, at = opened(lab, page, "01_blocking_sleep")
        for cell in ("antipattern", "guess"):
            notebook.run(at[cell])
        guess = output(notebook, at["guess"]).locator(".lc-guess")
        drag(page, guess.locator("input"), 10, pause=0.02)
        expect(guess).to_contain_text("your guess")


def readable(page):
    """Keep pictures in both themes; assert that nothing is wider than the window, and that words are large."""
    for dark in (False, True):
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.screenshot(path=picture(page, f"room-{'dark' if dark else 'light'}"), full_page=True)
    for width in (1920, 1280, 800):
        page.set_viewport_size({"width": width, "height": 720})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        size = "parseFloat(getComputedStyle(document.querySelector('td')).fontSize)"
        assert page.evaluate(size) >= 17


def downloaded(page):
    """Return the rows of the grade book that the page links to."""
    with page.expect_download() as saved:
        page.get_by_role("link", name="Grade book").click()
    return [*csv.DictReader(saved.value.path().read_text().splitlines())]


def test_five_learners_one_of_them_in_jupyterlab(lab, browser, tmp_path, monkeypatch):
    room, grades = tmp_path / "room.log", tmp_path / "grades.csv"
    options = ("--no-browser", "--plan", "90 minutes", "--csv", str(grades))
    with contextlib.ExitStack() as stack:
        home = tmp_path / "facilitator"
        home.mkdir()
        serving = stack.enter_context(started("room", *options, home=home, log=room))
        line = said(room, r"loopclinic join (\S+)")
        page = stack.enter_context(new_page(browser, height=720))
        page.goto(said(room, r"(http://\S+)"))
        expect(page.locator("main")).to_contain_text("Nobody is here yet.")

        homes = {name: tmp_path / f"learner{number}" for number, name in enumerate(SECONDS)}
        homes["Ada"] = lab.folder / "home"
        for number, (name, home) in enumerate(homes.items()):
            as_learner(monkeypatch, home)
            log = tmp_path / f"learner{number}.log"
            stack.enter_context(joined(line, name, home, log))
        expect(page.locator(".lc-headline").first).to_contain_text("5 learners, 4 of them at 01")
        page.get_by_role("button", name="Start the clock").click()
        expect(page.get_by_role("button", name="Break")).to_be_visible()
        expect(page.locator(".lc-guesses")).to_contain_text("Measured by 0 of 4 so far")

        guess_in_jupyterlab(lab, browser)
        expect(page.locator(".lc-headline").first).to_contain_text("5 learners, all of them at 01")
        expect(page.locator(".lc-guesses")).to_contain_text("01: 5 guesses", timeout=10_000)

        for name in ("Kim", "Lee", ""):
            as_learner(monkeypatch, homes[name])
            guesses.note(ASKED, SECONDS[name], 0.4)
        retries = Reason("All at once.", "retry-storm", promise=3)
        for name in ("Kim", HOSTILE):
            as_learner(monkeypatch, homes[name])
            check(retries)
        as_learner(monkeypatch, homes["Lee"])
        check(status="passed")
        guesses.note("Audits arrive faster than they can be served", 100)
        main = page.locator("main")
        expect(main).to_contain_text("Measured: 400 ms.", timeout=10_000)
        expect(main).to_contain_text("Forty failed together. When do they come back?")
        expect(page.locator("tr", has_text="01 One retry").first).to_contain_text(
            "1 passed, 2 not yet"
        )
        expect(page.locator("tr", has_text="02 The job").first).to_contain_text("1")
        expect(main).to_contain_text(HOSTILE)  # as words
        assert page.locator("main img").count() == 0
        assert page.title() == "Live room"

        readable(page)
        rows = downloaded(page)
        assert [row["learner"] for row in rows] == ["Kim", "Lee", "unnamed 1", HOSTILE, "Ada"]
        assert [row["01 lab"] for row in rows] == ["", "passed", "", "", ""]

        serving.send_signal(signal.SIGINT)
        serving.wait(timeout=20)
        expect(page.locator("#lost")).to_be_visible(timeout=10_000)
        assert grades.read_text().count("\n") == 6
        assert serving.returncode == 0
        said(tmp_path / "learner0.log", "(does not answer)")
    assert "Traceback" not in "".join(log.read_text() for log in tmp_path.glob("*.log"))
