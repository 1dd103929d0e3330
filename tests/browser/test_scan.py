"""A scan's page and its notebook's table in Chromium: what a click does."""

import pytest

from loopclinic.scanner.reports.notebook import table
from loopclinic.scanner.reports.page import page as page_of
from loopclinic.scanner.scanning import scan_path
from loopclinic.scanner.settings import Settings
from tests.scanner.measuring import CORPUS

from .jupyterlab import new_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report():
    return scan_path(CORPUS / "fresh/research_agent", Settings())


def test_a_click_on_a_head_sorts_by_its_column_and_the_next_one_turns_it(browser, report):
    with new_page(browser) as page:
        page.set_content(table(report))

        def shown(column):
            return page.locator(f"tbody td:nth-child({column})").all_inner_texts()

        kinds = [one.kind for one in report.findings]
        assert shown(2) == kinds
        page.get_by_text("conflict", exact=True).click()
        assert shown(2) == sorted(kinds) != kinds
        page.get_by_text("conflict", exact=True).click()
        assert shown(2) == sorted(kinds, reverse=True)
        page.locator("thead th").first.click()
        assert shown(1) == [
            f"{one.file}:{one.line}"
            for one in sorted(report.findings, key=lambda one: (one.file, one.line))
        ]


def test_the_page_shows_only_what_is_ticked(browser, report):
    sure = [one.confidence for one in report.findings]
    assert 0 < sure.count("hint") < len(sure)
    with new_page(browser) as page:
        page.set_content(page_of(report))
        assert page.locator("article:visible").count() == len(sure)
        page.get_by_label("hint").uncheck()
        assert page.locator("article:visible").count() == len(sure) - sure.count("hint")
        kinds = {one.kind for one in report.findings if one.confidence != "hint"}
        assert page.locator("section:visible").count() == len(kinds)
        page.get_by_label("hint").check()
        assert page.locator("article:visible").count() == len(sure)
