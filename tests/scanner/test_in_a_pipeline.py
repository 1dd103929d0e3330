"""What a pipeline and an editor get: what a branch adds, suggested and safe edits, SARIF, the page, docs/ci.md."""

import argparse
import ast
import importlib
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from loopclinic.cli.main import COMMANDS, main
from loopclinic.scanner.options import Settings, settings_for
from loopclinic.scanner.reports.findings_page import page
from loopclinic.scanner.reports.sarif import sarif
from loopclinic.scanner.scanning import scan_path
from loopclinic.scanner.suggested_edits import patches

ROOT = Path(__file__).parents[2]


def git(folder, *words):
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def branch(tree):
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "first")
    git(tree, "switch", "-qc", "topic")
    return tree


def added(folder, capsys, *more):
    status = main(
        ["scan", str(folder), "--diff", "main", "--format", "json", "--fail-on", "any", *more]
    )
    out, err = capsys.readouterr()
    return status, [(one["file"], one["line"]) for one in json.loads(out or "{}")["findings"]], err


def test_a_branch_that_changes_nothing_adds_nothing(branch, capsys):
    app = branch / "app.py"
    app.write_text("# moved\n\n" + app.read_text())
    assert added(branch, capsys)[:2] == (0, [])


def test_a_branch_that_breaks_a_file_was_not_read_whole(branch, capsys):
    (branch / "app.py").write_text("def f(:\n")
    assert added(branch, capsys)[:2] == (3, [])


def test_a_branch_adds_new_calls_and_new_callers_of_old_ones(branch, capsys):
    (branch / "more.py").write_text("from store import load\nasync def more():\n    load()\n")
    git(branch, "add", ".")
    git(branch, "commit", "-qm", "more")
    app = branch / "app.py"
    app.write_text(
        app.read_text().replace("    time.sleep(1)\n", "    time.sleep(1)\n    time.sleep(2)\n")
    )
    assert added(branch, capsys)[:2] == (1, [("app.py", 8), ("more.py", 3)])


def test_what_the_base_has_won_since_is_not_the_branch_s(branch, capsys):
    git(branch, "switch", "-q", "main")
    (branch / "store.py").write_text("def load():\n    pass\n")
    git(branch, "commit", "-qam", "second")
    git(branch, "switch", "-q", "topic")
    assert added(branch, capsys)[:2] == (0, [])


def test_a_folder_of_the_repository_is_compared_with_itself(branch, capsys):
    (branch / "shop").mkdir()
    (branch / "shop" / "a.py").write_text("import time\nasync def f():\n    time.sleep(1)\n")
    assert added(branch / "shop", capsys)[:2] == (1, [("a.py", 3)])


def test_a_base_that_cannot_be_had(branch, tmp_path, capsys):
    assert main(["scan", str(branch), "--diff", "nowhere"]) == 2
    assert "--diff: git merge-base nowhere HEAD" in capsys.readouterr().err
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.py").write_text("x = 1\n")
    assert main(["scan", str(tmp_path / "plain"), "--diff", "main"]) == 2
    assert "not a git repository" in capsys.readouterr().err.lower()


EDITS = {
    "a statement": ("time.sleep(1)", "await asyncio.sleep(1)", True),
    "seconds that are computed": ("time.sleep(2 * (wait + 1))", "await asyncio.sleep(2 * (wait + 1))", True),
    "inside an expression": ("x = time.sleep(1) or 2", "x = (await asyncio.sleep(1)) or 2", False),
    "a command": (
        "done = subprocess.run(['ls'], check=True)",
        "done = await asyncio.to_thread(subprocess.run, ['ls'], check=True)",
        False,
    ),
    "no arguments": ("text = path.read_text()", "text = await asyncio.to_thread(path.read_text)", False),
    "under a lock": ("with lock: time.sleep(1)", "with lock: (await asyncio.sleep(1))", None),
    "what goes on blocking": ("file = open('x')", None, None),
    "a generator": ("x = (time.sleep(1) for _ in y)", None, None),
    "a lambda": ("x = [lambda: time.sleep(1)][0]()", None, None),
    "a method of a result": ("x = subprocess.Popen(['ls']).wait()", None, None),
}  # fmt: skip
HEAD = (
    '"""A service."""\n\nimport subprocess\nimport time\nfrom pathlib import Path\n\n'
    "async def f(wait: int, path: Path, lock, y):\n    "
)


@pytest.mark.parametrize("what", EDITS)
def test_what_to_write_instead(tmp_path, what):
    line, wanted, safe = EDITS[what]
    app = tmp_path / "app.py"
    app.write_text(f"{HEAD}{line}\n")
    report = scan_path(app, Settings(), jobs=1)
    found = [*patches(report, report.findings).values()]
    if wanted is None or safe is None:
        assert not any(one.safe for one in found)
        return
    (patch,) = found
    assert patch.safe == safe
    assert patch.applied(f"    {line}") == f"    {wanted}"
    ast.parse(app.read_text().replace(line, wanted))


def test_fix_makes_the_safe_edits_only_and_is_then_done(tmp_path, capsys):
    app = tmp_path / "app.py"
    app.write_bytes(
        (HEAD + "time.sleep(1)  # été\n    time.sleep(2)\n    subprocess.run(['ls'])\n")
        .replace("\n", "\r\n")
        .encode()
    )
    assert main(["scan", str(app), "--fix"]) == 0
    assert "app.py:9" in capsys.readouterr().out
    text = app.read_bytes().decode()
    assert text.count("\n") == text.count("\r\n")
    assert "import asyncio\r\nimport subprocess\r\n" in text
    assert "time.sleep(1)  # été" in text  # a line beyond ASCII is left alone
    assert "    await asyncio.sleep(2)\r\n" in text
    assert "    subprocess.run(['ls'])" in text
    before = text
    main(["scan", str(app), "--fix"])
    assert app.read_bytes().decode() == before


def test_fix_keeps_the_imports_in_order(tmp_path):
    call = "async def f():\n    time.sleep(1)\n"
    for name, head in {
        "future": '"""Doc."""\nfrom __future__ import annotations\nimport time\n',
        "there": "import time\nimport asyncio\n",
        "aliased": "import asyncio as aio\nimport time\n",
        "doc": '"""Doc."""\nimport time\n',
    }.items():
        app = tmp_path / f"{name}.py"
        app.write_text(head + call)
        main(["scan", str(app), "--fix"])
        tree = ast.parse(app.read_text())
        assert ast.get_docstring(tree) == ("Doc." if "Doc" in head else None)
        assert app.read_text().count("import asyncio\n") == 1
        compile(tree, name, "exec")
        assert "await asyncio.sleep(1)" in app.read_text()


def test_nothing_is_changed_without_fix(tree, capsys):
    before = {one: one.read_bytes() for one in tree.iterdir()}
    for form in ("text", "json", "html", "sarif"):
        main(["scan", str(tree), "--format", form])
    assert "instead: await asyncio.sleep(1) (--fix writes it)" in capsys.readouterr().out
    assert {one: one.read_bytes() for one in tree.iterdir()} == before


def test_sarif_says_where_to_read_on_and_who_a_finding_is(tree):
    (run,) = sarif(scan_path(tree, Settings(), jobs=1))["runs"]
    for rule in run["tool"]["driver"]["rules"]:
        assert rule["helpUri"].startswith("https://docs.python.org/3/library/asyncio-")
        assert "Lesson" in rule["help"]["text"]
    marks = {one["ruleId"]: one["partialFingerprints"] for one in run["results"]}
    assert len({str(one) for one in marks.values()}) == 3
    app = tree / "app.py"
    app.write_text("# one\n# two\n" + app.read_text())
    (run,) = sarif(scan_path(tree, Settings(), jobs=1))["runs"]
    assert {one["ruleId"]: one["partialFingerprints"] for one in run["results"]} == marks
    ranks = [one["rank"] for one in run["results"]]
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize("head", ["", '"""Says what it is."""\n', "import asyncio\n"])
def test_sarif_holds_the_edit_that_was_suggested(tmp_path, head):
    text = f"{head}import time\nasync def f():\n    time.sleep(1)\n    open('x').read()\n"
    (tmp_path / "a.py").write_text(text)
    (run,) = sarif(scan_path(tmp_path, Settings(), jobs=1))["runs"]
    fixed, *others = run["results"]
    assert [one.get("fixes") for one in others] == [None] * len(others)
    (fix,) = fixed["fixes"]
    (change,) = fix["artifactChanges"]
    assert change["artifactLocation"] == {"uri": "a.py", "uriBaseId": "ROOT"}
    lines = text.split("\n")
    for one in change["replacements"]:
        at = one["deletedRegion"]
        line = lines[at["startLine"] - 1]
        assert at["endLine"] == at["startLine"]
        lines[at["startLine"] - 1] = (
            line[: at["startColumn"] - 1]
            + one["insertedContent"]["text"]
            + line[at["endColumn"] - 1 :]
        )
    main(["scan", str(tmp_path), "--fix", "--no-cache"])
    assert "\n".join(lines) == (tmp_path / "a.py").read_text()
    assert "await asyncio.sleep(1)" in fix["description"]["text"]


def test_two_alike_lines_have_fingerprints_of_their_own(tmp_path):
    (tmp_path / "a.py").write_text(
        "import time\nasync def f():\n    time.sleep(1)\n    time.sleep(1)\n"
    )
    (run,) = sarif(scan_path(tmp_path, Settings(), jobs=1))["runs"]
    assert len({str(one["partialFingerprints"]) for one in run["results"]}) == 2


def test_the_page_shows_source_around_a_finding_who_calls_it_and_what_to_write(tmp_path):
    (tmp_path / "a.py").write_text(
        "import time\n@app.get('/<b>')\nasync def f():\n    before = 1\n    time.sleep(1)\n    after = 2\n"
    )
    text = page(scan_path(tmp_path, Settings(), jobs=1))
    assert "before = 1" in text
    assert "<mark>    5  " in text
    assert "after = 2" in text
    assert '<span class="called">request GET /&lt;b&gt;</span>' in text
    assert "Instead: <code>await asyncio.sleep(1)</code> (--fix writes it)" in text


def test_the_page_has_what_weighs_little_unchecked(tmp_path):
    (tmp_path / "a.py").write_text(
        "import os, time\nasync def f():\n    time.sleep(1)\n    os.stat('x')\n"
    )
    text = page(scan_path(tmp_path, Settings(), jobs=1))
    assert '<input type="checkbox" checked value="heavy">' in text
    assert '<input type="checkbox" value="light">' in text


# docs/ci.md


def blocks():
    text = (ROOT / "docs" / "ci.md").read_text("utf-8")
    return re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)


def commands():
    """All commands of ours in it: those of the shell blocks and of the files."""
    for language, block in blocks():
        for line in block.splitlines():
            found = re.search(r"(?:^|run: |- |entry: )(loopclinic .*)", line.strip())
            if found and language in ("bash", "yaml"):
                yield found[1]


def test_the_files_to_copy_parse_and_name_what_they_are():
    files = {
        block.splitlines()[0].removeprefix("# "): yaml.safe_load(block)
        for language, block in blocks()
        if language == "yaml"
    }
    assert set(files) == {
        ".github/workflows/loopclinic.yml",
        ".gitlab-ci.yml",
        ".pre-commit-config.yaml",
    }
    steps = files[".github/workflows/loopclinic.yml"]["jobs"]["scan"]["steps"]
    written = next(one["run"] for one in steps if "--output" in one.get("run", "")).split()[-1]
    assert written in [one.get("with", {}).get("sarif_file") for one in steps]
    assert files[".gitlab-ci.yml"]["loopclinic"]["script"]
    (hook,) = files[".pre-commit-config.yaml"]["repos"][0]["hooks"]
    assert hook["pass_filenames"] is False


def test_the_commands_to_copy_exist():
    found = [*commands()]
    assert len(found) >= 8
    for one in found:
        words = shlex.split(re.sub(r"\$\{\{.*?\}\}", "main", one))[1:]
        module = importlib.import_module(f"loopclinic.cli.{COMMANDS[words[0]][0]}")
        parser = argparse.ArgumentParser()
        module.configure(parser)
        parser.parse_args(words[1:])  # exits with 2 for an option that there is not


def test_the_settings_to_copy_can_be_used(tmp_path):
    gate, own = (block for language, block in blocks() if language == "toml")
    (tmp_path / "pyproject.toml").write_text(gate)
    assert settings_for(tmp_path).fail_on == ("any",)
    (tmp_path / "pyproject.toml").write_text(own)
    settings = settings_for(tmp_path)
    assert set(settings.per_path_ignores) == {"scripts", "app/reports/*"}
    assert [one["path"] for one in settings.allow] == ["app/start.py"]
    assert [one["function"] for one in settings.blocking] == ["ledger.Ledger.post"]
