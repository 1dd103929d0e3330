"""The page beside a lab by itself, fed by hand."""

import json

import pytest
from playwright.sync_api import expect

from loopclinic.checks import lab_page, watch_widget
from loopclinic.drawing import scripted, styled
from loopclinic.lessons import lesson
from loopclinic.verdict import Promise, Reason, Verdict

from .jupyterlab import ROOT, new_page

pytestmark = [pytest.mark.browser]

_STATIC = watch_widget._STATIC
_START = """
async ([source, values, notebook, kernel]) => {
  const { default: widget } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const listeners = {};
  const manager = { kernel: kernel ? { status: kernel } : undefined, context: { path: notebook }, rendermime: { trustHandler: { markTrusted: (node) => { node.dataset.trusted = "yes"; } } } };
  const model = {
    widget_manager: notebook === null ? {} : manager,
    get: (name) => values[name],
    on: (events, act) => events.split(" ").forEach((event) => { listeners[event] = act; }),
    off: () => {},
    send: (message) => { test.sent.push(message); if (kernel === "idle" && message.kind === "hello") listeners["msg:custom"]({ kind: "here" }); },
  };
  window.test = { sent: [], manager, set: (name, value) => { values[name] = value; listeners[`change:${name}`](); } };
  const el = document.createElement("div");
  document.body.append(el);
  widget.render({ model, el });
}
"""
_STATES = ("kept", "kept", "broken", "not-judged", "kept", "not-reached", "broken", "kept")
_REASONS = (
    Reason(
        "While 4 calls waited, the loop was busy: `time.sleep(backoff * 2**attempt)`.",
        conflict="blocking-retry",
        promise=7,
        measured="100% busy",
        budget="40% of the time",
        file=str(ROOT / "labs" / "01_blocking_sleep.py"),
        line=76,
        next_step="Await the wait.",
    ),
    Reason("One call raised.", promise=3, measured="returned None", budget="TranscriptionError"),
    Reason("Too few.", promise=4, measured="0.05 x limit", budget="at least 0.45 x limit"),
)


def verdict(status, states, reasons=(), **more):
    promises = zip(lesson("01").promises.items(), states, strict=True)
    kept = tuple(Promise(number, state, text) for (number, text), state in promises)
    found = Verdict("01_blocking_sleep", status, reasons, promises=kept, headline="So.", **more)
    return {
        "verdict": lab_page.verdict_page(found, lesson("01")),
        "promises": [{"number": p.number, "state": p.state, "text": p.text} for p in kept],
    }


def not_yet():
    return verdict("not-yet", _STATES, _REASONS)


def passed():
    return verdict("passed", ("kept",) * 8, vitals={"retrying_p90_of_own_waits": 1.01})


@pytest.fixture
def start(browser, monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    one = lesson("01")

    with new_page(browser, width=900, height=1200) as page:

        def make(
            *, notebook="notebooks/01_blocking_sleep.ipynb", kernel="idle", width=600, **values
        ):
            page.set_content(f"<style>body {{ width: {width}px; }}</style>")
            page.add_style_tag(content=styled(_STATIC / "lab.css"))
            shown = {
                "lab": lab_page.lab_of(one),
                "promises": lab_page.contract_of(one),
                "following": lab_page.next_of(one),
                "state": "waiting",
                "status": "Edit it and save it.",
                "verdict": None,
                "saves": [],
                "note": "",
                "hints_left": True,
                **values,
            }
            page.evaluate(_START, [scripted(_STATIC / "lab.js"), shown, notebook, kernel])
            return page.get_by_role("region", name="Lab 01")

        make.page = page
        yield make


def args(element):
    return json.loads(element.get_attribute("data-commandlinker-args"))


def test_boxes_fill_with_the_verdict(start):
    lab = start()
    contract = lab.get_by_role("list", name="Contract")
    expect(contract.get_by_role("listitem")).to_have_count(8)
    expect(lab).to_contain_text("8 promises")
    expect(contract).to_contain_text(
        "Jitter is welcome"
    )  # all of a promise, not its first sentence only
    expect(contract.locator(".lc-box path")).to_have_count(0)
    for name in ("verdict", "promises"):
        lab.page.evaluate("([name, it]) => test.set(name, it)", [name, not_yet()[name]])
    expect(lab).to_contain_text("4 of 8 promises kept")
    words = [
        item.inner_text().rsplit(". ", 1)[-1] for item in contract.get_by_role("listitem").all()
    ]
    assert words == [state.replace("-", " ") for state in _STATES]


def test_a_lab_that_no_kernel_knows_says_so(start):
    lab = start(kernel=None, **not_yet())
    expect(lab).to_have_attribute("data-state", "stopped")
    expect(lab).to_contain_text("No kernel answers: run this cell again.")
    expect(lab).not_to_contain_text("Edit it and save it.")
    for name in ("Check now", "Next hint", "Stop"):
        expect(lab.get_by_role("button", name=name)).to_be_disabled()
    expect(lab).to_contain_text("4 of 8 promises kept")


def test_a_kernel_whose_loop_is_blocked_is_waited_for(start):
    start.page.clock.install()
    lab = start(kernel="busy", **not_yet())
    start.page.clock.run_for(20_000)
    expect(lab).not_to_contain_text("No kernel answers")
    start.page.evaluate("test.manager.kernel.status = 'idle'")
    start.page.clock.run_for(5_000)
    expect(lab).to_contain_text("No kernel answers: run this cell again.")


def test_a_place_opens_the_file_at_its_line_and_the_button_beside_the_notebook(start):
    lab = start(**not_yet())
    assert lab.get_attribute("data-trusted") == "yes"
    button = args(lab.get_by_role("button", name="Open beside the notebook"))
    assert button == {"path": "labs/01_blocking_sleep.py", "options": {"mode": "split-right"}}
    link = args(lab.get_by_role("link", name="labs/01_blocking_sleep.py:76"))
    assert link["commands"] == ["docmanager:open", "rendermime:handle-local-link"]
    assert (link["args"]["path"], link["args"]["id"]) == ("labs/01_blocking_sleep.py", "#line=75")


def test_elsewhere_places_are_words_and_nothing_opens(start):
    lab = start(notebook=None, **not_yet())
    expect(lab).to_contain_text("labs/01_blocking_sleep.py:76")
    expect(lab.get_by_role("link")).to_have_count(0)
    expect(lab.get_by_role("button", name="Open beside the notebook")).to_have_count(0)


@pytest.mark.parametrize(("number", "ratio"), [(0, 100 / 40), (1, 0.05 / 0.45)])
def test_the_bar_is_as_long_to_the_budget_as_the_numbers_are(start, number, ratio):
    lab = start(**not_yet())
    lines = lab.locator(".lc-bar-line")
    expect(lines).to_have_count(2)  # the reason between has no numbers
    bar = lines.nth(number).locator(".lc-lab-bar").bounding_box()
    limit = lines.nth(number).locator(".lc-limit").bounding_box()
    assert bar["width"] / (limit["x"] - bar["x"]) == pytest.approx(ratio, rel=0.03)


def test_a_pass_shows_what_differs_and_leads_on(start):
    lab = start(**passed(), saves=lab_saves(3, 5, 8))
    expect(lab.get_by_role("status").filter(has_text="Passed")).to_be_visible()
    expect(lab.get_by_role("img", name="the reference 0.89 x the waits")).to_be_visible()
    following = args(lab.get_by_role("link", name="Next lesson: 02"))
    assert following == {"path": "notebooks/02_sync_database.ipynb"}
    name = "Promises kept at the last 3 checks: 3, 5, 8 of 8"
    dots = lab.get_by_role("img", name=name).locator("circle")
    heights = [float(dot.get_attribute("cy")) for dot in dots.all()]
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == 3


def test_signs_of_a_busy_machine_are_folded(start):
    machine = (Reason("Others used the processor.", measured="45%", budget="30%"),)
    lab = start(**verdict("too-busy", _STATES, machine, signs=_REASONS))
    expect(lab.get_by_role("status").filter(has_text="Not certain")).to_be_visible()
    sign = lab.get_by_text("One call raised.")
    expect(sign).to_be_hidden()
    lab.get_by_text("Signs, not findings").click()
    expect(sign).to_be_visible()


def lab_saves(*kept):
    return [{"kept": one, "promises": 8, "passed": one == 8} for one in kept]


@pytest.mark.parametrize("width", [230, 420, 880])
@pytest.mark.parametrize("shown", [not_yet, passed])
@pytest.mark.rows(2)
def test_nothing_is_cut_off(start, width, shown):
    lab = start(width=width, **shown(), saves=lab_saves(*range(9), *range(9)), note="A hint. " * 20)
    beyond = lab.evaluate(
        "root => { const end = root.getBoundingClientRect().right + 1;"
        " return [...root.querySelectorAll('*')].filter((one) => one.getBoundingClientRect().right > end)"
        ".map((one) => one.outerHTML.slice(0, 80)); }"
    )
    assert beyond == []


def test_buttons_tell_the_kernel_and_rest_when_it_has_stopped(start):
    lab = start()
    for name in ("Check now", "Next hint", "Stop"):
        lab.get_by_role("button", name=name).press("Enter")
    assert lab.page.evaluate("test.sent.map((one) => one.kind)") == [
        "hello",
        "check",
        "hint",
        "stop",
    ]
    lab.page.evaluate("test.set('state', 'stopped')")
    expect(lab.get_by_role("button", name="Check now")).to_be_disabled()
    expect(lab.get_by_role("button", name="Next hint")).to_be_enabled()
