"""The list of conflicts: precedence, sentences, spelling everywhere."""

import difflib
import re
from pathlib import Path

import pytest

from loopclinic.conflicts import CONFLICTS, SHOWN_RUNNING, first

ROOT = Path(__file__).parents[1]
ROOMS = ("src", "docs", "notebooks", "labs", "solutions", "data", "scripts", "README.md")
KINDS = {".py", ".md", ".ipynb", ".toml", ".js", ".html", ".j2"}
HYPHENATED = re.compile(r"(?<![\w-])[a-z]+(?:-[a-z]+)+(?![\w-])")


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


def hyphenated(room: Path) -> set[str]:
    files = [room] if room.is_file() else [one for one in room.rglob("*") if one.suffix in KINDS]
    return {
        word for file in files for word in HYPHENATED.findall(file.read_text("utf-8", "replace"))
    }


def test_code_and_prose_spell_every_name_as_the_list_does():
    words = set().union(*(hyphenated(ROOT / room) for room in ROOMS))
    slips = {
        word: near
        for word in words - CONFLICTS.keys()
        if (near := difflib.get_close_matches(word, CONFLICTS, n=1, cutoff=0.8))
    }
    assert not slips
    assert words >= CONFLICTS.keys()


def test_what_only_a_running_program_shows_is_in_the_list_and_a_lesson_judges_it():
    judged = hyphenated(ROOT / "src/loopclinic/lessons")
    assert judged & CONFLICTS.keys() >= SHOWN_RUNNING
