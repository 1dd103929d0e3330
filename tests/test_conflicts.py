import pytest

from loopclinic.conflicts import CONFLICTS, first


def test_precedence_runs_from_the_special_to_the_general():
    assert first(["blocking-sleep", "blocking-retry"]) == "blocking-retry"
    assert first(["blocking-net", "blocking-http", "blocking-sdk"]) == "blocking-sdk"
    assert first([]) is None


def test_an_unknown_name_is_an_error():
    with pytest.raises(KeyError):
        first(["blocking-slep", "blocking-sleep"])


def test_each_conflict_has_one_sentence_of_its_own():
    sentences = [conflict.sentence for conflict in CONFLICTS.values()]
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert sentence.endswith(".")
        assert len(sentence.split()) <= 20


def test_ranks_are_unique():
    assert len({conflict.rank for conflict in CONFLICTS.values()}) == len(CONFLICTS)
