"""Notebook 91 in JupyterLab: scan, run, attach, compare, and the page that is exported."""

import re

import pytest
from playwright.sync_api import expect

from .jupyterlab import new_page
from .test_notebooks import opened, output, whole_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.prove,
    pytest.mark.timeout(400),
]


def test_scan_run_and_compare_lead_to_one_page(kit_with_data, browser):
    lab = kit_with_data
    with new_page(browser, height=1060) as page:
        notebook, at = opened(lab, page, "91_design_review")
        for cell in ("service", "scanned", "watched", "attach-scope", "typed"):
            notebook.run(at[cell], 90)
        expect(output(notebook, at["scanned"])).to_contain_text("carriers.py")
        expect(output(notebook, at["watched"])).to_contain_text(re.compile(r"[\d.]+\s*m?s"))
        expect(output(notebook, at["attach-scope"])).to_contain_text("carriers.py")
        for cell in ("compared", "figures", "saved"):
            notebook.run(at[cell], 120)
        expect(output(notebook, at["compared"])).to_contain_text(re.compile(r"\w"))
        expect(output(notebook, at["figures"]).locator("svg.lc-chart").first).to_be_visible()
        shown = output(notebook, at["saved"]).frame_locator("iframe")
        expect(shown.get_by_text("Figures").first).to_be_visible(timeout=30_000)
        expect(shown.locator("figure svg").first).to_be_visible()
        for ending in ("html", "md", "json"):
            assert (lab.folder / "build" / f"design_review.{ending}").stat().st_size > 500
        whole_page(page, "91")
