"""The scope's page with synthetic data, for states that take minutes to reach in a kernel."""

import json
import re
from pathlib import Path

import pytest
from matplotlib.image import imread

from loopclinic.drawing import styled
from loopclinic.scope import widget

from .jupyterlab import new_page, picture

pytestmark = [pytest.mark.browser]

_STATIC = Path(widget.__file__).parent / "static"
_SETTINGS = {
    "threshold": 0.05,
    "lessons": {"blocking-sleep": ["01_blocking_sleep", "One retry, everybody waits"]},
    "notebooks": {"absolute": "/kit/notebooks", "fromHome": None},
}
_START = """
async ([source, history]) => {
  const timers = new Set(), set = window.setInterval, clear = window.clearInterval;
  window.setInterval = (...rest) => { const id = set(...rest); timers.add(id); return id; };
  window.clearInterval = (id) => { timers.delete(id); clear(id); };
  const { default: make } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const listeners = new Set();
  const model = {
    get: (name) => (name === "history" ? history : null),
    set: (name, value) => { test.kept[name] = value; },
    on: (name, callback) => listeners.add({ name, callback }),
    off: (name, callback) => listeners.forEach((one) => {
      if (one.name === name && one.callback === callback) listeners.delete(one);
    }),
    send: (message) => test.sent.push(message),
  };
  const made = make();
  const ends = [made.initialize({ model })];
  const trigger = (event, ...rest) => listeners.forEach(({ name, callback }) => name === event && callback(...rest));
  window.test = {
    timers, listeners, trigger, sent: [], kept: {}, ofModel: timers.size,
    tell: (message) => trigger("msg:custom", message),
    show: () => {
      const el = document.createElement("div");
      document.body.append(el);
      const end = made.render({ model, el });
      ends.push(end);
      return end;
    },
    end: () => ends.splice(0).reverse().forEach((end) => end()),
  };
}
"""


def tick(at, *, stall=None, ended=(), strip: float | None = 0.001, **changed):
    return {
        "kind": "tick",
        "at": at,
        "lag": stall["seconds"] if stall else 0.001,
        "p99": 0.002,
        "worst": 0.003,
        "utilization": 0.01,
        "tasks": 3,
        "threads": 0,
        "workers": 6,
        "waiting": 0,
        "stall": stall,
        "ended": list(ended),
        "strip": None if stall else strip,
        "crowded": None,
        "witness": None,
        **changed,
    }


def stall(started, seconds, **changed):
    return {
        "id": round(started * 1e6),
        "started": started,
        "seconds": seconds,
        "where": "cell [3], line 2",
        "code": "time.sleep(4)",
        "function": "charge",
        "conflict": "blocking-sleep",
        "gil": False,
        "cell": False,
        "stack": [],
        "diagnosis": None,
        "task": None,
        "burst": False,
        "garbage": False,
        "prompt": None,
        "file": None,
        "fileFromHome": None,
        **changed,
    }


class Page:
    def __init__(self, page):
        self.page = page

    def start(self, history=None, lab=True):
        config = json.dumps({"serverRoot": "/kit"} if lab else {})
        self.page.set_content(
            f'<script id="jupyter-config-data" type="application/json">{config}</script>'
        )
        self.page.add_style_tag(content=styled(_STATIC / "scope.css"))
        settings = {"now": None, "ticks": [], "stalls": [], "stopped": False}
        history = {**settings, "settings": _SETTINGS, **(history or {})}
        self.page.evaluate(_START, [widget.page_source(), history])
        self.page.evaluate("() => { test.show(); }")
        return self

    def tell(self, *messages):
        self.page.evaluate("(all) => all.forEach((one) => test.tell(one))", list(messages))

    def text(self, selector):
        words = self.page.locator(selector).first.text_content() or ""
        return words.replace("\u00a0", " ")

    @property
    def state(self):
        return self.page.locator(".lc-scope").first.get_attribute("data-state")


@pytest.fixture
def page(browser):
    with new_page(browser) as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield Page(page)
        assert not errors


def test_the_empty_scope_says_what_its_list_is_for(page):
    page.start()
    assert page.state == "waiting"
    page.tell(tick(1.0))
    assert page.state == "calm"
    assert page.text(".lc-empty") == "Nothing has stalled yet. Stalls are listed here."


def test_a_stopped_scope_promises_nothing(page):
    page.start()
    page.tell(tick(1.0), {"kind": "stopped"})
    assert page.text(".lc-empty") == "Nothing had stalled."


def test_a_screen_reader_hears_of_a_stall_twice_and_not_ten_times_a_second(page):
    page.start()
    page.tell(tick(1.0))
    page.page.evaluate(
        """() => {
          test.heard = [];
          const live = document.querySelector('[aria-live="polite"]');
          new MutationObserver(() => test.heard.push(live.textContent)).observe(live, { childList: true, characterData: true, subtree: true });
        }"""
    )
    page.tell(*(tick(1.1 + n / 10, stall=stall(1.0, 0.1 + n / 10)) for n in range(30)))
    assert page.state == "stalled"
    page.page.evaluate("() => 0")  # observers have run
    page.tell(tick(4.2, ended=[stall(1.0, 3.1)]), tick(4.3))
    heard = page.page.evaluate("() => test.heard.map((one) => one.replaceAll('\\u00a0', ' '))")
    assert heard == [
        "The loop stalls at cell [3], line 2: time.sleep(4)",
        "The loop is free again after 3.10 s, at cell [3], line 2.",
    ]


def test_silence_is_counted_by_the_browser_and_forgiven(page):
    page.start()
    page.tell(tick(1.0))
    page.page.locator('.lc-scope[data-state="silent"]').wait_for(timeout=5_000)
    assert page.text(".lc-sentence").startswith("No heartbeat for 1.")
    page.page.wait_for_function(
        "() => Number(document.querySelector('[data-figure=lag] b').textContent) > 1.5"
    )
    page.tell(tick(3.0))
    assert page.state == "calm"


def test_an_hour_of_ticks_and_stalls_keeps_the_page_small(page):
    page.start()
    page.tell(
        *(tick(n / 10, ended=[stall(n / 10, 0.06)] if n % 10 == 0 else ()) for n in range(1500))
    )
    assert page.page.locator(".lc-row").count() == 1
    assert page.text(".lc-times") == "\u00d7 50", "one line, as often as is kept"
    assert page.page.locator(".lc-strip rect").count() < 80
    assert len(page.page.locator(".lc-lag").get_attribute("d")) < 30_000


def test_views_are_independent_and_leave_nothing_behind(page):
    page.start()
    page.page.evaluate("() => { test.second = test.show(); }")
    page.tell(tick(1.0, stall=stall(0.5, 0.5)))
    assert page.page.locator('.lc-scope[data-state="stalled"]').count() == 2
    page.page.evaluate("() => test.second()")
    page.tell(tick(1.1))
    assert page.page.locator(".lc-scope").count() == 1
    assert page.state == "calm"
    assert page.page.evaluate("() => test.ofModel") == 2, "however many views there are"
    assert page.page.evaluate("() => test.timers.size - test.ofModel") == 2
    page.page.evaluate("() => test.end()")
    assert page.page.evaluate("() => [test.timers.size, test.listeners.size]") == [0, 0]
    assert page.page.locator(".lc-scope").count() == 0


def test_a_scope_whose_connection_was_lost_for_a_while_goes_on(page):
    page.start()
    page.tell(tick(1.0))
    page.page.evaluate("() => test.trigger('comm_live_update')")
    assert page.text(".lc-sentence") == "Stopped: the kernel was restarted, or has ended"
    page.tell(tick(2.0, stall=stall(1.0, 1.0)))
    assert page.state == "stalled"
    page.tell({"kind": "stopped"}, tick(2.1))
    assert page.text(".lc-sentence") == "Stopped: this scope no longer measures", "and stays so"


def test_a_scope_that_stops_over_a_stall_does_not_promise_its_end(page):
    page.start()
    page.tell(tick(2.0, stall=stall(1.0, 1.0)))
    assert page.text(".lc-empty") == "This one is listed here when it ends."
    page.tell({"kind": "stopped"})
    assert page.text(".lc-empty") == "This one had not ended when the scope stopped."
    assert page.text('[aria-live="polite"]') == "Stopped: this scope no longer measures."


@pytest.mark.parametrize(
    ("requests", "said"), [(0, "on this loop"), (1, "of them 1 request"), (4, "of them 4 requests")]
)
def test_tasks_are_told_from_requests(page, requests, said):
    page.start()
    page.tell(tick(1.0, tasks=9, requests=requests))
    assert said in page.text(".lc-scope")


def test_what_is_seen_is_put_where_the_notebook_keeps_it(page):
    page.start()
    page.tell(tick(5.0, ended=[stall(1.0, 3.1)]))
    page.page.wait_for_function("() => test.kept.history", timeout=5_000)
    kept = page.page.evaluate("() => test.kept.history")
    page.page.evaluate("() => test.end()")
    page.start(kept)
    assert page.state == "stopped"
    assert page.text(".lc-sentence").endswith("saved with the notebook")
    assert page.page.locator(".lc-row").count() == 1


def test_a_reloaded_page_knows_the_last_minute(page):
    seen = [[n / 10, 0.001] for n in range(500)]
    page.start({"now": tick(50.0), "ticks": seen, "stalls": [stall(20.0, 4.0)]})
    assert page.state == "calm"
    said = page.text(".lc-sentence")
    assert re.match(r"Calm again; the last stall took 4\.00 s, (2[6-9]|[34]\d) s ago", said), said
    assert page.page.locator(".lc-row").count() == 1
    assert page.page.locator(".lc-stall-mark").count() == 1


def test_the_longest_stall_of_the_minute_is_in_the_headline(page):
    page.start()
    page.tell(tick(50.0, ended=[stall(1.0, 3.1), stall(40.0, 1.68), stall(45.0, 0.09)]))
    assert page.text(".lc-sentence").startswith("Calm again; the longest of 3 stalls took 3.10 s")
    page.tell(tick(70.0))
    assert page.text(".lc-sentence").startswith("Calm again; the longest of 2 stalls took 1.68 s")


@pytest.mark.parametrize("lab", [True, False])
def test_the_lesson_opens_beside_the_notebook_where_there_is_a_jupyterlab(page, lab):
    page.start(lab=lab)
    page.tell(tick(5.0, ended=[stall(1.0, 3.1)]))
    assert "lesson 01: One retry, everybody waits" in page.text(".lc-row")
    link = page.page.locator(".lc-row a")
    assert link.count() == (1 if lab else 0)
    if lab:
        arguments = json.loads(link.get_attribute("data-commandlinker-args"))
        assert arguments == {"path": "notebooks/01_blocking_sleep.ipynb"}


def test_a_plain_cell_is_told_apart_by_shape_and_word(page):
    page.start()
    page.tell(tick(5.0, ended=[stall(1.0, 3.1, cell=True, conflict=None)]))
    assert page.page.locator(".lc-stall-mark").count() == 0
    assert page.page.locator(".lc-cell-block").count() == 1
    assert "synchronous cell" in page.text(".lc-row")
    page.tell(tick(7.0, stall=stall(6.0, 1.0, cell=True, conflict=None)))
    assert page.state == "cell"
    assert page.text('[aria-live="polite"]') == "", "nothing to be alarmed about"


def test_a_short_plain_cell_makes_no_headline(page):
    page.start()
    page.tell(tick(5.0, ended=[stall(1.0, 0.2, cell=True, conflict=None)]))
    assert page.page.locator(".lc-row").count() == 1
    assert page.text(".lc-sentence") == "Calm: the loop is free to answer"


def test_source_code_is_shown_as_text(page):
    page.start()
    page.tell(tick(5.0, ended=[stall(1.0, 3.1, code="x = '<img src=x onerror=alert(1)>'")]))
    assert page.page.locator(".lc-scope img").count() == 0
    assert "<img" in page.text(".lc-row code")


def test_the_keyboard_reaches_the_list_and_opens_a_stack(page):
    frames = [{"where": f"app.py:{n}", "function": "f", "code": "g()"} for n in (1, 2)]
    page.start()
    page.tell(tick(5.0, ended=[stall(1.0, 3.1, stack=frames)]))
    reached = []
    while "lc-scroll" not in reached and len(reached) < 8:
        page.page.keyboard.press("Tab")
        reached.append(
            page.page.evaluate("() => document.activeElement.getAttribute('class') ?? ''")
        )
    assert reached[-2:] == ["lc-chart lc-strip", "lc-scroll"], "after the three buttons"
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    assert page.page.locator(".lc-stack").is_visible()
    page.tell(tick(5.1), tick(8.0, ended=[stall(6.0, 2.0)]))
    assert page.page.locator(".lc-stack").is_visible(), "a new stall closes nothing"
    assert page.page.evaluate("() => document.activeElement.tagName") == "SUMMARY"


def test_a_line_stands_in_the_list_once_with_its_longest_stall(page):
    page.start()
    lines = ("provider.py:54", "carriers.py:22")
    ended = [stall(n, 0.1 + n / 100, where=lines[n % 2]) for n in range(8)]
    page.tell(tick(9.0, ended=ended))
    rows = page.page.locator(".lc-row")
    assert rows.count() == 2
    assert "carriers.py:22" in rows.nth(0).inner_text(), "the one that stalled last is first"
    assert page.page.locator(".lc-times").all_inner_texts() == ["\u00d7\u00a04"] * 2
    assert rows.nth(0).locator(".lc-length").inner_text().split() == ["170", "ms", "\u00d7", "4"]


def test_the_list_ends_with_a_whole_row(page):
    page.start()
    page.tell(tick(30.0, ended=[stall(n, 0.3, where=f"m{n}.py:1") for n in range(20)]))
    cut = page.page.evaluate(
        """() => {
          const list = document.querySelector(".lc-scroll"), { top, bottom } = list.getBoundingClientRect();
          const rows = [...list.querySelectorAll(".lc-row")].map((row) => row.getBoundingClientRect());
          return [bottom - top, rows.filter((row) => row.top < bottom - 1 && row.bottom > bottom + 1).length];
        }"""
    )
    assert 100 < cut[0] < 230
    assert cut[1] == 0


@pytest.mark.parametrize(("seconds", "span"), [(3, 10), (12, 20), (29, 30), (31, 60), (100, 60)])
@pytest.mark.rows(2)
def test_the_strip_is_as_wide_as_what_there_is(page, seconds, span):
    page.start(
        {"stopped": True, "now": tick(seconds), "ticks": [[n, 0.001] for n in range(seconds)]}
    )
    assert page.text(".lc-heading h4") == f"Lag, last {span} s"
    assert f"{span} s ago" in page.text(".lc-frame")


def test_there_is_no_link_to_the_lesson_one_is_in(page):
    page.start({"settings": {**_SETTINGS, "lesson": "01_blocking_sleep"}})
    page.tell(tick(5.0, ended=[stall(1.0, 3.1)]))
    assert page.text(".lc-treatment") == "blocking-sleep"


def test_a_paused_view_holds_still_and_catches_up(page):
    page.start()
    page.tell(tick(1.0), tick(5.0, ended=[stall(1.0, 3.1)]))
    page.page.get_by_role("button", name="Pause").click()
    assert page.state == "paused"
    page.tell(tick(6.0, tasks=77), tick(9.0, tasks=78, ended=[stall(6.0, 2.0)]))
    page.page.wait_for_timeout(1300)
    assert page.state == "paused", "and not silent, though nothing was heard for a second"
    assert page.page.locator(".lc-row").count() == 1
    assert page.text('[data-figure="tasks"] b') == "3"
    page.tell(tick(9.1, tasks=79))
    page.page.get_by_role("button", name="Go on").click()
    assert page.text(".lc-times") == "\u00d7 2"
    assert page.text('[data-figure="tasks"] b') == "79"


def test_the_pointer_and_the_keys_read_values_off_the_strip(page):
    page.start()
    page.tell(
        *(tick(n / 10, strip=0.004) for n in range(1, 500)), tick(50.0, ended=[stall(20.0, 4.0)])
    )
    page.page.get_by_role("button", name="Pause").click()  # or the strip moves on below the pointer
    box = page.page.locator(".lc-strip").bounding_box()
    spans = [(28, "4.00 s at cell [3], line 2, 28 s ago"), (10, "lag 4.00 ms, 10 s ago")]
    for back, words in spans:
        x = page.page.evaluate(
            "(back) => { const { width } = document.querySelector('.lc-strip').viewBox.baseVal;"
            " return width - 13 - (back / 60) * (width - 13 - 58); }",
            back,
        )
        page.page.mouse.move(box["x"] + x, box["y"] + 60)
        assert page.text(".lc-value-there") == words
    page.page.mouse.move(0, 0)
    assert page.page.locator(".lc-value-there").count() == 0
    page.page.locator(".lc-strip").focus()
    for _ in range(6):
        page.page.keyboard.press("ArrowLeft")
    assert page.text(".lc-value-there") == "lag 4.00 ms, 5 s ago"


def test_picture_and_figures_can_be_taken_away(page, tmp_path):
    page.start()
    page.tell(*(tick(n / 10) for n in range(1, 300)), tick(30.0, ended=[stall(20.0, 4.0)]))
    with page.page.expect_download() as told:
        page.page.get_by_role("button", name="JSON").click()
    values = json.loads(Path(told.value.path()).read_text("utf-8"))
    assert [one["seconds"] for one in values["stalls"]] == [4.0]
    assert len(values["ticks"]) == 300
    assert re.fullmatch(r"scope-[\dT-]+\.json", told.value.suggested_filename)
    with page.page.expect_download() as told:
        page.page.get_by_role("button", name="PNG").click()
    image = imread(told.value.path(), format="png")
    orange = abs(image[..., :3] - (0xC3 / 255, 0x51 / 255, 0)).max(axis=-1) < 0.05
    assert image.shape[1] > 1200
    assert orange.sum() > 50, "the stall is drawn, in its color"


def test_a_line_in_a_file_opens_where_the_lab_can_reach_it(page):
    page.start()
    inside = {"file": "/kit/labs/app.py", "where": "app.py:7", "line": 7}
    outside = {"file": "/usr/src/far.py", "where": "far.py:9"}
    page.tell(
        tick(9.0, ended=[stall(1.0, 1.0, **inside), stall(3.0, 1.0, **outside), stall(5.0, 1.0)])
    )
    links = page.page.locator("a.lc-where")
    assert links.all_text_contents() == ["app.py:7"]
    arguments = json.loads(links.get_attribute("data-commandlinker-args"))
    assert arguments == {"path": "labs/app.py", "id": "#line=6"}, "counted from 0"


def test_a_line_in_a_cell_shows_the_cell(page):
    page.start()
    page.page.evaluate(
        """() => {
          const cell = document.createElement("div");
          cell.className = "jp-Cell";
          cell.innerHTML = '<div style="height: 3000px"></div><div class="jp-InputPrompt">[3]:</div>';
          document.body.append(cell);
        }"""
    )
    page.tell(tick(5.0, ended=[stall(1.0, 3.1, prompt="[3]")]))
    page.page.locator("a.lc-where").click()
    assert page.page.evaluate("() => window.scrollY") > 300


def test_a_burst_and_a_collection_have_a_sentence_and_no_line(page):
    said = "Too much work in one iteration: 5,000 callbacks in 603 ms."
    page.start()
    page.tell(
        tick(2.0, stall=stall(1.0, 1.0, burst=True, code="", conflict=None, diagnosis=said)),
    )
    assert page.text(".lc-sentence") == "Stalled now for 1.00 s: too much work in one iteration"
    assert said in page.text(".lc-detail")
    burst = {"burst": True, "where": "5,000 callbacks", "code": "", "diagnosis": said}
    waste = {
        "garbage": True,
        "where": "garbage collection",
        "code": "",
        "diagnosis": "It took long.",
    }
    page.tell(
        tick(9.0, ended=[stall(1.0, 0.6, conflict=None, **burst)]),
        tick(9.1, ended=[stall(5.0, 0.6, conflict=None, **waste)]),
    )
    rows = page.page.locator(".lc-row")
    assert "too much work" in rows.nth(1).text_content()
    assert rows.nth(0).locator(".lc-treatment").text_content() == "garbage collection"
    rows.nth(1).locator("summary").click()
    assert rows.nth(1).locator(".lc-said").is_visible()


@pytest.mark.parametrize("width", [350, 480, 640, 760, 900, 1200])
@pytest.mark.rows(2)
def test_a_long_lesson_title_stands_clear_of_the_place(browser, width):
    title = "A lesson whose title goes on for rather longer than anybody would have thought wise"
    settings = {**_SETTINGS, "lessons": {"blocking-sleep": ["01_blocking_sleep", title]}}
    with new_page(browser, width=width + 16, height=900) as page:
        shown = Page(page).start({"settings": settings})
        frames = [{"where": f"app.py:{n}", "function": "f", "code": "g()"} for n in (1, 2)]
        where = "a_rather_long_module_name.py:1234"
        shown.tell(
            tick(9.0, ended=[stall(5.0, 3.0, gil=True, where=where, stack=frames)]),
            tick(9.1, ended=[stall(8.2, 0.5, where=where)]),
        )
        picture(page, f"scope-long-title-{width}")
        overlaps = page.evaluate(
            """() => [...document.querySelectorAll(".lc-row")].flatMap((row) => {
              const parts = [".lc-length", ".lc-where", ".lc-place code", ".lc-treatment", "time"]
                .flatMap((name) => [...row.querySelectorAll(name)].filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).flatMap((one) => [...one.getClientRects()].map((r) => [name, r])));
              const clash = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
              return parts.flatMap(([n, r], i) => parts.slice(i + 1).filter(([m, s]) => n !== m && r.width && s.width && clash(r, s)).map(([m]) => `${n} and ${m}`));
            })"""
        )
        assert overlaps == []


@pytest.mark.parametrize("width", [350, 480, 640, 760, 1200])
@pytest.mark.rows(2)
def test_nothing_is_cut_off_at_any_width(browser, width):
    with new_page(browser, width=width + 16, height=900) as page:
        shown = Page(page).start()
        long = "rows = connection.execute(select_everything_there_is(), parameters=parameters)"
        shown.tell(
            tick(4.0, ended=[stall(1.0, 3.0)]),
            tick(
                9.0, ended=[stall(5.0, 3.0, code=long, where="a_rather_long_module_name.py:1234")]
            ),
            tick(12.0, stall=stall(10.0, 2.0)),
        )
        wide = page.evaluate(
            "() => { const r = document.querySelector('.lc-scope');"
            " return [r.scrollWidth - r.clientWidth, document.querySelector('.lc-scroll').scrollWidth - r.clientWidth]; }"
        )
        assert max(wide) <= 0
        cut = page.evaluate(
            "() => [...document.querySelectorAll('.lc-numbers small, .lc-numbers .lc-value, .lc-sentence')]"
            ".filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"
        )
        assert cut == []


def test_out_of_sight_a_stall_is_told_in_the_corner(page):
    page.start()
    page.page.evaluate(
        """() => {
          const panel = document.createElement("div");
          panel.className = "jp-NotebookPanel";
          panel.style.cssText = "height: 500px; overflow: auto";
          const rest = document.createElement("div");
          rest.style.height = "3000px";
          panel.append(document.querySelector(".lc-scope").parentElement, rest);
          document.body.append(panel);
        }"""
    )
    chip = page.page.locator(".lc-chip")
    page.tell(tick(1.0), tick(2.0, stall=stall(1.0, 1.0)))
    page.page.wait_for_timeout(300)
    assert chip.count() == 0, "the scope itself is in sight"
    page.page.evaluate("() => { document.querySelector('.jp-NotebookPanel').scrollTop = 2000; }")
    chip.wait_for()
    page.tell(tick(2.2, stall=stall(1.0, 1.2)))
    assert "cell [3], line 2" in page.text(".lc-chip")
    picture(page.page, "scope-chip")
    page.tell(tick(2.5, ended=[stall(1.0, 1.4)]))
    assert chip.count() == 0
