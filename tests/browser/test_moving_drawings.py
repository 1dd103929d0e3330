"""Live drawings in JupyterLab are updated while a lesson's code runs."""

import re

import pytest
from playwright.sync_api import expect

from .jupyterlab import new_page, picture

pytestmark = [pytest.mark.browser, pytest.mark.prove, pytest.mark.timeout(240)]

HANG = """
from psycopg_pool import ConnectionPool
from loopclinic.lessons.sync_database import story

dsn = await story.brand_audits()

async def patient(pool: ConnectionPool, company: int):
    with pool.connection() as conn:
        conn.execute(story.LOCK, [company])
        await story.model()
        conn.execute(story.COUNT, [company])
"""
HANGS = """
await story.hang(patient, dsn, [1, 2, 3], connections=2, title="A dry pool", patience=5)
"""
PUBLISHES = """
from loopclinic.lessons.unbounded_gather import ladder, story
await story.publish_here(ladder.publish_all, 2000)
"""
STANDS = """
from loopclinic.lessons.flask_bridge import ladder, story
dsn = await story.deliveries()
await story.standstill(ladder.Bridge, ladder.DrainedBridge, dsn=dsn)
"""


@pytest.fixture
def opened(lab, browser):
    """Return a function that opens a notebook of these cells."""
    with new_page(browser) as page:
        yield lambda name, *cells: lab.open(page, lab.write(name, *cells))


def test_the_circle_closes_while_the_loop_is_stuck(opened):
    notebook = opened("circle.ipynb", HANG, HANGS)
    notebook.run(0)
    notebook.start(1)
    circle = notebook.page.get_by_role("img", name=re.compile("^The loop waits for a connection"))
    expect(circle).to_contain_text("nobody can go on", timeout=4000)
    assert notebook.prompt(1) == "[*]:", "the loop was free again before the test had looked"
    before = circle.inner_html()
    expect(circle).to_contain_text(re.compile(r"for [2-5]\.\d\ss"), timeout=4000)
    assert circle.inner_html() != before
    assert notebook.prompt(1) == "[*]:"
    picture(notebook.page, "02-circle")
    notebook.wait(1)
    expect(circle).to_contain_text("nobody can go on")  # it stays


def test_places_and_queue_fill_and_their_fullest_moment_stays(opened):
    notebook = opened("places.ipynb", PUBLISHES)
    notebook.run(0)
    stays = notebook.page.get_by_role("img", name=re.compile("^At its fullest, 20 of 20 places"))
    expect(stays.locator(".lc-full")).to_have_count(40)
    picture(notebook.page, "04-places")


def test_webhooks_wait_between_two_loops_until_a_deadline_lets_them_go(opened):
    notebook = opened("crossing.ipynb", STANDS)
    notebook.run(0, 90)
    stuck = notebook.page.get_by_role("img", name=re.compile("^Bridge: 8 of 8 threads wait"))
    expect(stuck).to_contain_text("4 connections wait")
    freed = notebook.page.get_by_role("img", name=re.compile("^DrainedBridge: 0 of 8 threads wait"))
    expect(freed).to_contain_text("0 connections wait")
    picture(notebook.page, "03-crossing")


FINDS = """
from loopclinic.lessons.story.knee_slider import KneeFinder
from loopclinic.lessons.story.sweep import Point, Swept
points = tuple(Point(n, 10.0 * n, 0.1, 0.11, {}, 0.0) for n in (1, 10, 20))
KneeFinder(Swept(points, unit="posts/s", bound=200, because="20 at once / 100 ms"))
"""
CODE = """
from loopclinic.drawing.tables import Drawing
Drawing("<p><code>time.sleep(4)</code></p>", "")
"""


def test_the_slider_of_the_knee_neither_selects_its_cell_nor_measures_again(opened):
    notebook = opened("knee.ipynb", FINDS, "1 + 1")
    notebook.run(0)
    output = notebook.cell(0).locator(".jp-Cell-outputArea")
    expect(output).to_contain_text("limit 1: 10 posts/s")
    box = output.locator(".noUi-handle").bounding_box()
    page = notebook.page
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    expect(output).to_contain_text("limit 20: 200 posts/s")
    page.keyboard.press("Shift+Enter")
    notebook.wait(1)
    assert notebook.prompt(0) == "[1]:"


def test_code_in_a_drawing_stands_on_no_ground_of_its_own(opened):
    notebook = opened("code.ipynb", CODE)
    notebook.run(0)
    code = notebook.cell(0).locator(".jp-Cell-outputArea code").first
    expect(code).to_have_css("background-color", "rgba(0, 0, 0, 0)")
