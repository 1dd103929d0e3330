"""Files in syntax that is newer than the Python that scans them."""

import ast

import pytest

from loopclinic.cli.main import main
from loopclinic.scanner.facts.syntax_queries import inside
from loopclinic.scanner.newer_syntax import rewritten
from loopclinic.scanner.options import Settings
from loopclinic.scanner.scanning import scan_path

NEWER = {
    "except A, B": "try:\n    pass\nexcept ValueError, OSError:\n    pass\n",
    "except* A, B": "try:\n    pass\nexcept* ValueError, os.error:\n    pass\n",
    "type parameters": "def one[T: (int, list[str])](x: T) -> T:\n    return x\nclass Two[K, V = int](dict[K, V]):\n    pass\n",
    "on several lines": "async def one[\n    T,\n](x: T):\n    pass\n",
    "type alias": "type Rows[T] = list[T]\ntype Row = str\n",
    "template string": "x = t'{1} a'\n",
    "quotes in an f-string": "y = {'a': 1}\nx = f\"{y[\"a\"]} b\" + f'{y['a']}'\n",
    "backslashes in f-strings": 'y = [1]\nx = f"{\'\\n\'.join(y)}\\" b"\nz = f"""a\n{\'\\n\'.join(y)}\n"""\n',
    "unpacked": "x = [*y for y in [[1]]]\nz = {**y for y in [{}]}\n",
}
AFTER = "import time\nasync def f():\n    time.sleep(1)\n"


@pytest.mark.parametrize("source", NEWER.values(), ids=NEWER)
def test_newer_syntax_is_read_and_keeps_its_lines(tmp_path, source):
    (tmp_path / "one.py").write_text(source + AFTER)
    report = scan_path(tmp_path, Settings(), jobs=1)
    assert not report.skipped
    assert [one.line for one in report.findings] == [source.count("\n") + 3]


@pytest.mark.parametrize("source", NEWER.values(), ids=NEWER)
def test_what_is_rewritten_parses_as_python_3_11(source):
    text = rewritten(source)
    assert ast.parse(text, feature_version=(3, 11)).body
    assert text.count("\n") == source.count("\n")


def test_what_is_broken_stays_broken_with_its_own_error(tmp_path):
    (tmp_path / "one.py").write_text("type X[T] = int\ndef f(:\n    pass\n")
    (skip,) = scan_path(tmp_path, Settings(), jobs=1).skipped
    assert "syntax error" in skip.reason


def test_a_gate_says_that_not_all_was_read(tmp_path, capsys):
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_text("def f(:\n")
    assert main(["scan", str(tmp_path), "--fail-on", "any"]) == 3
    assert "No conflict found in the 1 of 2 files that could be read" in capsys.readouterr().out
    assert main(["scan", str(tmp_path)]) == 0
    (tmp_path / "good.py").write_text(AFTER)
    assert main(["scan", str(tmp_path), "--fail-on", "any"]) == 1
    assert "1 finding in 1 file, in the 1 of 2 files that could be read" in capsys.readouterr().out


def test_a_number_in_a_node_of_a_newer_python_is_no_node():
    class Newer(ast.Pass):
        _fields = ("since", "body")

    node = Newer(since=16, body=[None, ast.Pass()])
    assert [*inside([node])] == [node, node.body[1]]
