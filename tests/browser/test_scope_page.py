"""The scope's page by itself, fed by hand: what would take minutes to bring about in a kernel."""

import json
from pathlib import Path

import pytest

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
    on: (_, callback) => listeners.add(callback),
    off: (_, callback) => listeners.delete(callback),
    send: (message) => test.sent.push(message),
  };
  const made = make();
  const ends = [made.initialize({ model })];
  window.test = {
    timers, listeners, sent: [],
    tell: (message) => listeners.forEach((callback) => callback(message)),
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
        self.page.add_style_tag(content=(_STATIC / "scope.css").read_text("utf-8"))
        settings = {"now": None, "ticks": [], "stalls": [], "stopped": False}
        history = {**settings, "settings": _SETTINGS, **(history or {})}
        self.page.evaluate(_START, [(_STATIC / "scope.js").read_text("utf-8"), history])
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


def test_the_empty_scope_says_what_to_do(page):
    page.start()
    assert page.state == "waiting"
    page.tell(tick(1.0))
    assert page.state == "calm"
    assert page.text(".lc-empty") == "Nothing has stalled yet. Run the next cell."


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
    assert page.page.locator(".lc-row").count() == 50
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
    assert page.page.evaluate("() => test.timers.size") == 2
    page.page.evaluate("() => test.end()")
    assert page.page.evaluate("() => [test.timers.size, test.listeners.size]") == [0, 0]
    assert page.page.locator(".lc-scope").count() == 0


def test_a_reloaded_page_knows_the_last_minute(page):
    seen = [[n / 10, 0.001] for n in range(500)]
    page.start({"now": tick(50.0), "ticks": seen, "stalls": [stall(20.0, 4.0)]})
    assert page.state == "calm"
    assert page.text(".lc-sentence").startswith("Calm again; the last stall took 4.00 s, 26 s ago")
    assert page.page.locator(".lc-row").count() == 1
    assert page.page.locator(".lc-stall-mark").count() == 1


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
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("() => document.activeElement.className") == "lc-scroll"
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    assert page.page.locator(".lc-stack").is_visible()
    page.tell(tick(5.1), tick(8.0, ended=[stall(6.0, 2.0)]))
    assert page.page.locator(".lc-stack").is_visible(), "a new stall closes nothing"


@pytest.mark.parametrize("width", [350, 480, 640, 760, 1200])
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
