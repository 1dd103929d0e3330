"""A scan's page and its notebook's table in Chromium: what a click does."""

import pytest

from loopclinic.scanner.options import Settings
from loopclinic.scanner.reports.findings_page import page as page_of
from loopclinic.scanner.scan_report import table
from loopclinic.scanner.scanning import scan_path
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
        page.locator("thead button").first.click()
        assert shown(1) == [
            f"{one.file}:{one.line}"
            for one in sorted(report.findings, key=lambda one: (one.file, one.line))
        ]


def test_the_page_shows_only_what_is_ticked(browser, report):
    shown = [one for one in report.findings if one.confidence != "hint" and one.weight != "light"]
    assert 0 < len(shown) < len(report.findings)
    with new_page(browser) as page:
        page.set_content(page_of(report))
        assert page.locator("article:visible").count() == len(shown)
        assert page.locator("section:visible").count() == len({one.kind for one in shown})
        page.get_by_label("hint").check()
        page.get_by_label("light").check()
        assert page.locator("article:visible").count() == len(report.findings)
        page.get_by_label("hint").uncheck()
        sure = [one for one in report.findings if one.confidence != "hint"]
        assert page.locator("article:visible").count() == len(sure)


def test_the_page_is_searched_by_words_and_filtered_by_conflict(browser, report):
    with new_page(browser) as page:
        page.set_content(
            page_of(report, {one.lesson: "file:///x" for one in report.findings if one.lesson})
        )
        kind, found = report.groups[0]
        page.get_by_label("Conflict").select_option(kind)
        assert page.locator("article:visible").count() == len(found)
        assert (
            page.get_by_role("status").inner_text()
            == f"{len(found)} of {len(report.findings)} shown"
        )
        page.get_by_label("Search the findings").fill(f"{found[0].file} nowhere-to-be-found")
        assert page.locator("article:visible").count() == 0
        assert page.locator("section:visible").count() == 0
        lessons = {one.lesson for one in report.findings if one.lesson}
        assert page.locator("a[href='file:///x']:visible").count() >= len(lessons) > 0


def test_no_number_of_the_page_is_broken_over_two_lines(browser, report):
    with new_page(browser, width=420) as page:
        page.set_content(page_of(report))
        lines = """all => all.map(one => {
          const words = document.createRange();
          words.selectNodeContents(one);
          return words.getClientRects().length;
        })"""
        found = page.locator("tbody .lc-number").evaluate_all(lines)
        assert set(found) == {1}
