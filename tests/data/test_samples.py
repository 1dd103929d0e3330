"""The sample code bases hold what their counts.json says; the truth that scans are compared with.

After a deliberate change, `python tests/data/test_samples.py` writes the counts anew.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"
CODE_BASES = sorted(path.parent for path in SAMPLES.glob("*/counts.json"))


def parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except SyntaxError:
        return None


def runs(tree: ast.Module) -> list[int]:
    """Return the lines that call asyncio.run, whatever a file calls the module or the function."""
    modules: set[str] = set()
    functions: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {one.asname or one.name for one in node.names if one.name == "asyncio"}
        elif isinstance(node, ast.ImportFrom) and node.module == "asyncio" and not node.level:
            functions |= {one.asname or one.name for one in node.names if one.name == "run"}
    found = []
    for func in (node.func for node in ast.walk(tree) if isinstance(node, ast.Call)):
        match func:
            case ast.Name(id=name) if name in functions:
                found.append(func.lineno)
            case ast.Attribute(value=ast.Name(id=name), attr="run") if name in modules:
                found.append(func.lineno)
    return found


def recount(folder: Path) -> dict[str, int]:
    counts = dict.fromkeys(
        (
            "files",
            "mixed_files",
            "async_functions",
            "sync_functions",
            "asyncio_run_calls",
            "syntax_errors",
        ),
        0,
    )
    for file in folder.rglob("*.py"):
        counts["files"] += 1
        tree = parsed(file)
        if tree is None:
            counts["syntax_errors"] += 1
            continue
        nodes = list(ast.walk(tree))
        asynchronous = sum(isinstance(node, ast.AsyncFunctionDef) for node in nodes)
        synchronous = sum(isinstance(node, ast.FunctionDef) for node in nodes)
        counts["async_functions"] += asynchronous
        counts["sync_functions"] += synchronous
        counts["mixed_files"] += bool(asynchronous and synchronous)
        counts["asyncio_run_calls"] += len(runs(tree))
    return counts


def test_there_is_a_code_base():
    assert "moorings" in [folder.name for folder in CODE_BASES]


@pytest.mark.parametrize("folder", CODE_BASES, ids=lambda folder: folder.name)
def test_counts_are_true(folder):
    assert json.loads((folder / "counts.json").read_text("utf-8")) == recount(folder)


def test_asyncio_run_is_counted_under_every_name():
    tree = ast.parse(
        "import asyncio, asyncio as aio\nfrom asyncio import run as start, sleep\n"
        "asyncio.run(a())\naio.run(b())\nstart(c())\nrun(d())\nother.run(e())\npool(asyncio.run, f())\n"
    )
    assert runs(tree) == [3, 4, 5]


def test_moorings_is_what_the_lesson_says_of_it():
    folder = SAMPLES / "moorings"
    counts = recount(folder)
    assert counts["files"] >= 60
    assert counts["syntax_errors"] == 4
    odd = [file for file in folder.rglob("*.py") if not file.read_bytes().isascii()]
    assert [file.name for file in odd] == ["hafenamt.py"]
    assert parsed(odd[0]) is not None
    with pytest.raises(UnicodeDecodeError):
        odd[0].read_text("utf-8")


def test_a_search_for_asyncio_run_finds_some_that_are_none_and_misses_some():
    false, missed = 0, 0
    for file in (SAMPLES / "moorings").rglob("*.py"):
        tree = parsed(file)
        if tree is None:
            continue
        lines = file.read_bytes().splitlines()
        said = {number for number, line in enumerate(lines, 1) if b"asyncio.run(" in line}
        true = set(runs(tree))
        false += len(said - true)
        missed += len(true - said)
    assert false
    assert missed


def test_the_tests_of_moorings_pass():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=SAMPLES / "moorings",
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    for one in SAMPLES.iterdir():
        if one.is_dir():
            (one / "counts.json").write_text(json.dumps(recount(one), indent=2) + "\n", "utf-8")
