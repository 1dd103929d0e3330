"""`scripts/new_lesson.py` writes a complete lesson that passes its tests, in a copy of this tree."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import format_notebooks
import new_lesson
import pytest

ROOT = Path(__file__).parents[2]
TREE = ("src", "scripts", "labs", "solutions", "notebooks", "tests", "pyproject.toml")
NAME = "98_slow_supplier"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of this tree, without records, with the new lesson."""
    root = tmp_path_factory.mktemp("tree")
    left_out = shutil.ignore_patterns("records", "corpus", "__pycache__", ".*")
    for name in TREE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=left_out)
        else:
            shutil.copy(ROOT / name, root / name)
    before = set(root.rglob("*"))
    assert "Traceback" not in run(root, "scripts/new_lesson.py", "98", "slow_supplier")
    return root, {path for path in set(root.rglob("*")) - before if path.is_file()}


def run(root, *command):
    """Run this Python in the copy and return what it printed; it must end by 0."""
    environ = {**os.environ, "PYTHONPATH": str(root / "src"), "LOOPCLINIC_ROOT": str(root)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def pytest_98(root, *tests):
    """Run its tests in the copy; at least one must pass, and none fail."""
    found = run(root, "-m", "pytest", "-q", "-k", "98", "-p", "no:cacheprovider", *tests)
    return int(re.search(r"(\d+) passed", found)[1])


def test_every_file_of_it_bears_its_number_or_name(tree):
    root, new = tree
    paths = {path.relative_to(root).as_posix() for path in new}
    assert paths == set(new_lesson.files("98", "slow_supplier"))
    assert all("98" in path or "slow_supplier" in path for path in paths)
    for path in new:
        assert not {"99", "toy"} & set(path.read_text().replace("_", " ").split())


def record(root, *words):
    """Run the submissions whose names hold one of these words; each verdict must be as named."""
    chosen = [part for word in words for part in ("-k", word)]
    said = run(root, "scripts/record.py", *chosen, "--seeds", "1")
    assert "NOT AS NAMED" not in said, said
    return {path.stem for path in (root / "tests/labs/records/98").iterdir()}


def test_its_check_passes_the_solution_and_fails_the_lab_as_shipped_and_a_half_fix(tree):
    root, _ = tree
    half = "half_p1_half_the_deadline__none"
    assert record(root, "98-s", half) == {"solution", "shipped", half}


@pytest.mark.prove
def test_its_check_gives_each_submission_the_verdict_of_its_name(tree):
    root, _ = tree
    fixes = {path.stem for path in (root / "tests/labs/fixes/98").iterdir()}
    assert record(root, "98-") == {"solution", "shipped", *fixes}
    pytest_98(root, "tests/labs/test_records.py")


@pytest.mark.prove
@pytest.mark.timeout(240)
def test_its_notebook_runs(tree):
    assert pytest_98(tree[0], "-m", "", "tests/notebooks/test_runs.py") >= 1


def test_it_passes_the_tests_that_every_lesson_has_to_pass(tree):
    root, _ = tree
    own = ("tests/lessons/test_invariants.py", "tests/lessons/test_size.py")
    pytest_98(root, *own, "tests/notebooks/test_format.py")


@pytest.mark.prove
def test_it_has_nothing_to_lint(tree):
    root, _ = tree
    run(root, "scripts/drift.py")
    run(root, "-m", "ruff", "check", "--no-cache", ".")


def test_contributing_names_its_files_and_others_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    part = re.search(r"^## Add a lesson\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)[1]
    named = set(
        re.findall(r"(?<![\w./])((?:src|labs|solutions|notebooks|tests|docs)/[\w./]*)", part)
    )
    written = set(new_lesson.files("15", "slow_supplier"))
    assert len(named & written) >= 6
    folders = {parent.as_posix() for path in written for parent in Path(path).parents}
    assert {
        one
        for one in named - written
        if one.rstrip("/") not in folders and not (ROOT / one).exists()
    } == {"tests/labs/fixes/15/more/"}


def test_a_number_or_name_that_is_taken_is_refused(tree, capsys):
    root, _ = tree
    for number, stem, said in (
        ("98", "other", f"notebooks/{NAME}.ipynb is there"),
        ("97", "slow_supplier", "src/loopclinic/lessons/slow_supplier is there"),
        ("5", "other", "'5' is not two digits"),
        ("97", "Other", "'Other' is not lower case"),
    ):
        with pytest.raises(SystemExit):
            new_lesson.main([number, stem], root)
        assert said in capsys.readouterr().err


def test_a_lesson_that_is_removed_leaves_no_file_and_no_line_untold(tmp_path, capsys):
    (tmp_path / "src/loopclinic").mkdir(parents=True)
    (tmp_path / "README.md").write_text(
        f"| [{NAME}](notebooks/{NAME}.ipynb) |\n| two days | 97, 98 |\n| 98 | Break |\n"
    )
    (tmp_path / "src/loopclinic/conflicts.py").write_text(f'X = 1\n("{NAME}", "A title")\n')
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    new_lesson.main(["98", "slow_supplier"], tmp_path)
    record = tmp_path / "tests/labs/records/98/solution.json"
    record.parent.mkdir(parents=True)
    record.touch()
    capsys.readouterr()
    assert new_lesson.main(["98", "slow_supplier", "--remove"], tmp_path) == 0
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    said = capsys.readouterr().out
    for place in ("README.md:1", "README.md:2", "src/loopclinic/conflicts.py:2"):
        assert f"take it out of {place}: " in said
    assert "Break" not in said
    with pytest.raises(SystemExit):
        new_lesson.main(["98", "slow_supplier", "--remove"], tmp_path)
    assert "no such lesson" in capsys.readouterr().err


def test_notebooks_are_written_without_what_a_run_leaves():
    kept = (ROOT / "tests/lessons/toy/notebooks/99_toy.ipynb").read_text(encoding="utf-8")
    run = json.loads(kept)
    run["metadata"]["language_info"]["version"] = "3.13.1"
    for number, cell in enumerate(run["cells"]):
        cell["metadata"]["editable"] = True
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell |= {"execution_count": number, "outputs": [{"output_type": "stream"}]}
    assert format_notebooks.formatted(run) == kept
