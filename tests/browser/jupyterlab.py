"""A JupyterLab of the tests' own, as `loopclinic lab` starts it, and pages of it in Chromium."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "screenshots"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_URL = re.compile(r"http://127\.0\.0\.1:\d+/\S*token=\w+")


def chromium() -> str | None:
    """Return where Chromium is, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Lab:
    """A running server. `folder` is its kit: notebooks written there can be opened."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.base, _, query = url.partition("?")
        self.base = re.match(r"http://[^/]+", self.base).group()
        self.token = query.partition("token=")[2]

    def end_kernels(self) -> None:
        """End every kernel: a page that is closed leaves its own running."""
        for session in self.sessions():
            self._ask("DELETE", f"/api/sessions/{session['id']}")

    def sessions(self) -> list[dict[str, Any]]:
        """Return the notebooks that have a kernel, as the server lists them."""
        found: list[dict[str, Any]] = json.loads(self._ask("GET", "/api/sessions"))
        return found

    def _ask(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(
            self.base + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def write(self, name: str, *sources: str) -> str:
        """Write a notebook of these code cells; return its path."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in sources],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
        )
        nbformat.write(notebook, self.folder / "notebooks" / name)
        return f"notebooks/{name}"

    def open(self, page: Page, path: str) -> "Notebook":
        """Open a notebook in JupyterLab and wait until its kernel is idle."""
        page.goto(f"{self.base}/lab/tree/{path}?token={self.token}&reset")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=90_000)
        # A cell that is run before the kernel is connected is silently not run.
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
        return Notebook(page)


class Notebook:
    """An open notebook. Cells count from 0, Markdown cells included."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def cell(self, number: int) -> Locator:
        return self.page.locator(f'.jp-Cell[data-windowed-list-index="{number}"]')

    def prompt(self, number: int) -> str:
        return self.cell(number).locator(".jp-InputPrompt").inner_text().strip()

    def start(self, number: int) -> None:
        """Run a cell by Shift+Enter, and return once it runs or has run."""
        before = self.prompt(number)
        for _ in range(10):
            self.cell(number).locator(".jp-InputArea-editor").click()
            self.page.keyboard.press("Shift+Enter")
            end = time.monotonic() + 3
            while time.monotonic() < end:
                if self.prompt(number) != before:
                    return
                time.sleep(0.02)
        raise AssertionError(f"cell {number} did not start: {self.prompt(number)}")

    def wait(self, number: int, seconds: float = 60) -> None:
        """Wait until a cell has run."""
        end = time.monotonic() + seconds
        while not re.fullmatch(r"\[\d+\]:", self.prompt(number)):
            if time.monotonic() > end:
                raise AssertionError(f"cell {number} has not ended: {self.prompt(number)}")
            time.sleep(0.05)

    def run(self, number: int, seconds: float = 60) -> None:
        self.start(number)
        self.wait(number, seconds)


def picture(page: Page, name: str) -> Path:
    """Keep a screenshot under build/screenshots."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    return path


@contextlib.contextmanager
def running_lab(folder: Path, *options: str, postgres: Path | None = None) -> Iterator[Lab]:
    """Start `loopclinic lab` on a copy of the kit in `folder`, and end it with all its kernels."""
    for name in ("notebooks", "labs", "solutions"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    log = folder / "server.log"
    home = folder / "home"
    home.mkdir(exist_ok=True)
    if postgres is not None:
        (home / "postgres").symlink_to(postgres)  # a data folder of its own takes 40 MB
    environ = {
        **os.environ,
        "LOOPCLINIC_ROOT": str(folder),
        "LOOPCLINIC_HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    command = [sys.executable, "-m", "loopclinic", "lab", "--no-browser", *options]
    with log.open("w") as out:
        server = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=out, stderr=out, start_new_session=True
        )
    try:
        end = time.monotonic() + 90
        while not (found := _URL.search(log.read_text())):
            if server.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")
            time.sleep(0.1)
        yield Lab(folder, found.group())
    finally:
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@contextlib.contextmanager
def new_page(
    browser: Browser, *, dark: bool = False, width: int = 1280, height: int = 900
) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        device_scale_factor=1.5,
    )
    try:
        yield context.new_page()
    finally:
        context.close()
