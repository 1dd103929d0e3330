"""The corpus's labels have the format that its README.md describes."""

import ast
import io
import re
import tokenize
from collections import Counter
from pathlib import Path

import pytest

from loopclinic.conflicts import CONFLICTS, SHOWN_RUNNING

CORPUS = Path(__file__).with_name("corpus")
FILES = sorted(CORPUS.rglob("*.py"))
BLIND = [file for file in FILES if "blind" in file.relative_to(CORPUS).parts]

LABEL = re.compile(r"#\s*(expect|expect-via|clean):\s*(\S.*?)\s*$")
ALMOST = re.compile(r"#\s*(expect|clean)", re.IGNORECASE)
BROKEN = re.compile(rb"#\s*syntax-error:\s*\S")


def name(file: Path) -> str:
    return file.relative_to(CORPUS).as_posix()


def broken(file: Path) -> bool:
    return BROKEN.search(file.read_bytes().replace(b"\0", b"")) is not None  # UTF-16 too


def comments(file: Path) -> list[tokenize.TokenInfo]:
    tokens = tokenize.tokenize(io.BytesIO(file.read_bytes()).readline)
    return [token for token in tokens if token.type == tokenize.COMMENT]


def labels(file: Path) -> list[tuple[int, str, str]]:
    """Return the line, sort and text of each label of a file."""
    found = ((token.start[0], LABEL.search(token.string)) for token in comments(file))
    return [(line, match[1], match[2]) for line, match in found if match]


SOUND = [file for file in FILES if not broken(file)]


@pytest.mark.parametrize("file", SOUND, ids=name)
def test_a_file_parses_and_each_of_its_labels_is_a_known_one(file):
    lines = {
        node.lineno for node in ast.walk(ast.parse(file.read_bytes())) if hasattr(node, "lineno")
    }
    for comment in comments(file):
        line, text = comment.start[0], comment.string
        match = LABEL.search(text)
        assert (match is None) == (ALMOST.search(text) is None), f"line {line}: {text}"
        if match is None:
            continue
        assert line in lines, f"line {line}: a label needs code on its line"
        if match[1] != "clean":
            assert {*match[2].split(", ")} <= {*CONFLICTS}, f"line {line}: {match[2]}"


@pytest.mark.parametrize("file", [file for file in FILES if broken(file)], ids=name)
def test_a_file_said_to_be_broken_is(file):
    with pytest.raises((SyntaxError, ValueError)):
        ast.parse(file.read_bytes())


FOUND_SINCE = {"shared-connection", "too-many-connections"}
"""What the scanner finds since the blind half was written, which so has no label of them."""


def test_the_blind_half_is_large_and_covers_every_kind():
    sorts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for file in set(BLIND) & set(SOUND):
        for _, sort, text in labels(file):
            sorts[sort] += 1
            if sort != "clean":
                kinds.update(text.split(", "))
    print(dict(sorts), dict(sorted(kinds.items())), sep="\n")
    assert sorts["expect"] >= 70
    assert sorts["expect-via"] >= 40
    assert sorts["clean"] >= 80
    own = {
        kind
        for file in SOUND
        if file not in BLIND
        for _, _, text in labels(file)
        for kind in text.split(", ")
    }
    assert own >= FOUND_SINCE
    assert set(kinds) == CONFLICTS.keys() - SHOWN_RUNNING - FOUND_SINCE


def test_a_line_has_one_label_and_a_case_one_to_eight_files():
    for case in (CORPUS / "blind").iterdir():
        inside = [file for file in case.rglob("*.py") if file.stat().st_size]
        assert 1 <= len(inside) <= 8, case.name
    for file in SOUND:
        for comment in comments(file):
            sorts = re.findall(r"expect(?:-via)?:|clean:", comment.string)
            assert len(sorts) <= 1, f"{name(file)}, line {comment.start[0]}"
