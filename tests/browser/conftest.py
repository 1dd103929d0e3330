"""Fixtures: a Chromium, and a JupyterLab that tests share."""

import os
import shutil

import pytest

from .jupyterlab import FLAGS, ROOT, chromium, running_lab


# Ends with these tests: Playwright keeps an event loop running in the main thread.
@pytest.fixture(scope="package")
def browser():
    """Chromium. Missing, it is a failure where it was promised, and a skip on a learner's machine."""
    path = chromium()
    if path is None:
        message = "no Chromium found: install it (Debian: apt-get install chromium)"
        if os.environ.get("LOOPCLINIC_BROWSER") == "required":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def lab(running):
    """JupyterLab on a copy of the kit; its kernels end with the test."""
    yield running
    running.end_kernels()


@pytest.fixture
def kit_with_data(lab):
    """The same, with the small service that the design review is tried on."""
    shutil.copytree(ROOT / "data" / "design_review", lab.folder / "data" / "design_review")
    yield lab
    shutil.rmtree(lab.folder / "data" / "design_review")


@pytest.fixture(scope="package")
def running(browser, tmp_path_factory, session_postgres):
    """The one JupyterLab of all browser tests."""
    with running_lab(tmp_path_factory.mktemp("kit"), postgres=session_postgres) as lab:
        yield lab
