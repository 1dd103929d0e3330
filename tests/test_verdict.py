"""A verdict as JSON, text and HTML."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loopclinic.verdict import Promise, Reason, Verdict


def verdict():
    return Verdict(
        lesson="01_blocking_sleep",
        status="not-yet",
        headline="The loop stands still.",
        reasons=(
            Reason(
                "It sleeps <here>.", "blocking-sleep", "412 ms", "100 ms", "lab.py", 12, "Await."
            ),
            Reason("It sleeps in a retry.", "blocking-retry"),
        ),
        vitals={"lag": {"max": 0.412}},
        seed=7,
        seconds=3.25,
        promises=(
            Promise(1, "kept", "It returns a < b."),
            Promise(2, "broken", "It is quick."),
            Promise(3, "not-judged"),
            Promise(4, "not-reached", "It ends."),
        ),
    )


def test_json_has_the_agreed_shape_and_comes_back_whole():
    data = json.loads(verdict().to_json())
    assert data["schema"] == 2
    assert data["promises"][1] == {"number": 2, "state": "broken", "text": "It is quick."}
    assert data["passed"] is False
    assert data["conflicts"] == ["blocking-retry", "blocking-sleep"]
    assert set(data["reasons"][0]) >= {"conflict", "sentence", "measured", "budget", "file", "line"}
    assert Verdict.from_dict(data) == verdict()


def test_a_newer_schema_is_refused_with_the_repair():
    with pytest.raises(ValueError, match="update loopclinic"):
        Verdict.from_dict({"schema": 3})


def test_schema_1_is_still_read():
    data = verdict().to_dict() | {"schema": 1}
    del data["promises"]
    for reason in data["reasons"]:
        del reason["promise"]
    assert Verdict.from_dict(data) == replace(verdict(), promises=())


def test_the_contract_is_shown_as_a_list():
    text = str(verdict())
    assert "1 of 4 promises kept." in text
    for line in (
        "1. kept: It returns a < b.",
        "2. broken: It is quick.",
        "3. not judged\n",
        "4. not reached: It ends.",
    ):
        assert line in f"{text}\n"
    assert "style='color:var(--lc-stall)'>broken</td>" in verdict()._repr_html_()
    assert "a &lt; b" in verdict()._repr_html_()


def test_of_a_pass_the_contract_is_one_line():
    passed = replace(verdict(), status="passed", reasons=())
    for text in (str(passed), passed._repr_html_()):
        assert "1 of 4 promises kept." in text
        assert "It is quick." not in text


def test_a_busy_machine_has_signs_and_no_findings():
    machine = Reason("Others used the processor.", measured="45%", budget="30%")
    signs = Verdict("01", "too-busy", (machine,), signs=verdict().reasons)
    assert Verdict.from_dict(signs.to_dict()) == signs
    assert signs.conflicts == ()
    text = str(signs)
    assert text.startswith("01: Not certain")
    assert text.index("Others used") < text.index("Signs, not findings:") < text.index("sleeps")
    folded = signs._repr_html_().partition("<details>")
    assert "Others used" in folded[0]
    assert "It sleeps" in folded[2].partition("</details>")[0]


def test_a_promise_that_is_not_judged_says_when_it_can_be():
    assert "1 can't be judged before the broken ones are fixed." in verdict().tally
    assert "judged" not in replace(verdict(), status="too-busy").tally


def test_text_names_conflict_number_budget_and_place():
    text = str(verdict())
    for part in (
        "Not yet",
        "[blocking-sleep]",
        "412 ms",
        "budget 100 ms",
        "lab.py:12",
        "next: Await.",
    ):
        assert part in text


def test_html_escapes_what_a_learner_wrote():
    assert "<here>" not in verdict()._repr_html_()
    assert "&lt;here&gt;" in verdict()._repr_html_()


def test_html_sets_code_as_code():
    told = Verdict("01", "not-yet", (Reason("`time.sleep(a < b)` waits.", "blocking-sleep"),))
    assert "<code>time.sleep(a &lt; b)</code> waits." in told._repr_html_()


def test_a_conflict_that_is_not_in_the_list_is_refused():
    with pytest.raises(ValueError, match=r"not in loopclinic\.conflicts"):
        Reason("x", "blocking-everything")


@pytest.mark.parametrize(
    ("sentence", "ended"),
    [
        ("It raised ValueError: no such row..", "It raised ValueError: no such row."),
        ("It raised TimeoutError: ", "It raised TimeoutError."),
        ("It raised RuntimeError: no running loop", "It raised RuntimeError: no running loop."),
        ("It returned after open(...)", "It returned after open(...)"),
        ("It gave `a...`.", "It gave `a...`."),
        ("And so on...", "And so on..."),
        ("There is a fault:\n    x =", "There is a fault:\n    x ="),
    ],
)
def test_a_sentence_ends_in_one_full_stop(sentence, ended):
    assert Reason(sentence).sentence == ended


def test_a_place_in_the_kit_is_a_short_link_from_the_notebooks_folder(monkeypatch, tmp_path):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    lab, far = tmp_path / "labs" / "01.py", Path("/elsewhere/01.py")
    shown = Verdict(
        "01", "not-yet", (Reason("Slow", file=str(lab), line=7), Reason("Slow", file=str(far)))
    )._repr_html_()
    assert '<a href="../labs/01.py">labs/01.py:7</a>' in shown
    assert ">/elsewhere/01.py</a>" in shown


def test_of_an_unknown_name_the_next_step_says_to_define_it():
    reason = Reason("A call raised NameError: name 'asyncio' is not defined", next_step="Await it.")
    assert reason.next_step == "Import or define asyncio."
