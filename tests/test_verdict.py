import json
from dataclasses import replace

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
    assert "<td style='color:#D55E00'>broken</td>" in verdict()._repr_html_()
    assert "a &lt; b" in verdict()._repr_html_()


def test_of_a_pass_the_contract_is_one_line():
    passed = replace(verdict(), status="passed", reasons=())
    for text in (str(passed), passed._repr_html_()):
        assert "1 of 4 promises kept." in text
        assert "It is quick." not in text


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
