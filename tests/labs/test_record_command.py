"""`make record`: what it runs, what it keeps, what it lists."""

import copy

import pytest
import record

from tests.labs import recorded
from tests.labs.recorded import SEEDS, SUBMISSIONS, load

NAME = "04-half_p2_batches__sequential-awaits"
ONE = SUBMISSIONS[NAME]


@pytest.fixture
def trial():
    return copy.deepcopy(load(ONE.record)["trials"]["1"])


@pytest.fixture
def ran(trial, tmp_path, monkeypatch):
    """The seeds that were run, in order; records are kept in a folder of the test's own."""
    found = []

    def run(one, seed):
        found.append(seed)
        return trial, ""

    monkeypatch.setattr(recorded, "RECORDS", tmp_path)
    monkeypatch.setattr(recorded, "recorded", run)
    return found


def test_what_is_recorded_and_fresh_is_not_run_again(ran):
    assert record.main(["-k", NAME, "--seeds", "2"]) == 0
    assert record.main(["-k", NAME]) == 0
    assert ran == [2, 1, 3]
    assert list(load(ONE.record)["trials"]) == [str(seed) for seed in SEEDS]
    assert record.main(["-k", NAME, "--again"]) == 0
    assert ran == [2, 1, 3, 1, 2, 3]


def test_a_verdict_that_is_not_as_named_is_told_with_what_ended_the_trial(
    trial, ran, monkeypatch, capsys
):
    trial["verdict"] |= {"conflict": "missing-deadline", "headline": "It waits."}
    monkeypatch.setattr(recorded, "recorded", lambda one, seed: (trial, "Traceback: in drive"))
    record.main(["-k", NAME, "--seeds", "1"])
    said = capsys.readouterr().out
    assert "NOT AS NAMED" in said
    assert said.index("It waits.") < said.index(trial["verdict"]["reasons"][0]["sentence"])
    assert "Traceback: in drive" in said


def test_what_an_interrupt_meets_is_kept(ran, monkeypatch):
    run = recorded.recorded

    def interrupted(one, seed):
        if seed == 2:
            raise KeyboardInterrupt
        return run(one, seed)

    monkeypatch.setattr(recorded, "recorded", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record.main(["-k", NAME])
    assert list(load(ONE.record)["trials"]) == ["1"]


def test_trials_of_another_state_of_the_lab_are_thrown_away(ran):
    record.main(["-k", NAME])
    kept = load(ONE.record)
    kept["hashes"]["submission"] = "another"
    recorded.save(ONE.record, kept)
    record.main(["-k", NAME, "--seeds", "3"])
    assert list(load(ONE.record)["trials"]) == ["3"]


def test_a_trial_that_tells_nothing_is_tried_again_at_the_end_and_not_kept(
    ran, trial, monkeypatch, capsys
):
    told = []

    def busy(one, seed):
        told.append(seed)
        return (None, "busy") if seed == 1 else (trial, "")

    monkeypatch.setattr(recorded, "recorded", busy)
    assert record.main(["-k", NAME]) == 1
    assert told == [1, 2, 3, 1]
    assert list(load(ONE.record)["trials"]) == ["2", "3"]
    assert f"not recorded: {NAME}, seed 1" in capsys.readouterr().out


def test_a_verdict_other_than_the_name_says_is_shown(ran, trial, capsys):
    trial["verdict"] = {**trial["verdict"], "status": "passed", "reasons": []}
    record.main(["-k", NAME, "--seeds", "1"])
    assert "seed 1 is not as named: passed" in capsys.readouterr().out


def test_texts_that_changed_since_a_commit_are_listed_once_for_all_seeds(
    ran, trial, monkeypatch, capsys
):
    record.main(["-k", NAME])
    old = copy.deepcopy(load(ONE.record)["trials"])
    monkeypatch.setattr(record, "recorded_at", lambda commit, path: old)
    assert record.main(["-k", NAME, "--compare", "main"]) == 0
    assert "0 texts changed" in capsys.readouterr().out
    for one in old.values():
        one["verdict"]["reasons"][0]["next_step"] = "Do otherwise."
    assert record.main(["-k", NAME, "--compare", "main"]) == 0
    told = capsys.readouterr().out
    assert told.count("old: Do otherwise.") == 1
    assert "seed 1 2 3, reason 1, next_step" in told
    for one in old.values():
        one["verdict"]["reasons"][0]["line"] = 1
    assert record.main(["-k", NAME, "--compare", "main"]) == 1
    assert "reasons: VERDICT" in capsys.readouterr().out


def test_judging_anew_keeps_the_new_texts_and_lists_them(ran, monkeypatch, capsys):
    from loopclinic.lessons.unbounded_gather.check import Steady

    record.main(["-k", NAME])
    before = load(ONE.record)
    monkeypatch.setattr(Steady, "judge", lambda self, found, judged: iter(()))
    assert record.main(["-k", NAME, "--judge"]) == 1
    assert "old: sequential-awaits" in capsys.readouterr().out
    after = load(ONE.record)
    assert after["trials"]["1"]["verdict"] != before["trials"]["1"]["verdict"]
    assert after["trials"]["1"]["facts"] == before["trials"]["1"]["facts"]


def test_verdicts_are_read_in_words_once_for_all_seeds(ran, trial, capsys):
    record.main(["-k", NAME])
    capsys.readouterr()
    assert record.main(["-k", NAME, "--read"]) == 0
    said = capsys.readouterr().out
    reason = trial["verdict"]["reasons"][0]
    assert said.count(reason["sentence"]) == 1
    assert f"promise 2, conflict {reason['conflict']}, " in said
    assert ran == [*SEEDS]


def test_what_is_stale_is_not_judged_anew(ran, capsys):
    record.main(["-k", NAME])
    kept = load(ONE.record)
    kept["hashes"]["what drives the lab"] = "another"
    recorded.save(ONE.record, kept)
    assert record.main(["-k", NAME, "--judge"]) == 1
    assert f'changed since then: what drives the lab. make record ARGS="-k {NAME}"' in (
        capsys.readouterr().out
    )
    assert load(ONE.record) == kept
