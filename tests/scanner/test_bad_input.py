"""Input that is no Python, or hard to read: a clear line each, and the rest of the scan complete."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loopclinic.cli.main import main
from loopclinic.scanner.options import Settings
from loopclinic.scanner.reports.sarif import sarif
from loopclinic.scanner.scanning import scan_path

GOOD = "import time\nasync def f():\n    time.sleep(1)\n"


def scanned(root, **options):
    return scan_path(root, Settings(**options), jobs=1)


def reasons(root):
    report = scanned(root)
    assert [one.kind for one in report.findings] == ["blocking-sleep"]
    return {one.file: one.reason for one in report.skipped}


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "good.py").write_text(GOOD)
    return tmp_path


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes(range(256)) * 20, "null bytes"),
        (b"x = 1\n\0\n", "null bytes"),
        ("x = 1\n".encode("utf-16"), "UTF-16"),
        ("x = 1\n".encode("utf-32"), "UTF-32"),
        (b"# coding: undefined\nx = 1\n", "encoding"),
        (b"# coding: hex\n00\n", "encoding"),
        ("".join(" " * i + "if x:\n" for i in range(200)).encode(), "nested deeper"),
        ("# coding: utf-8\nx = 'é'\n".encode("latin-1"), "not utf-8"),
        (b"# coding: no-such-thing\nx = 1\n", "encoding"),
        (b"x = '\xff'\n", "not utf-8"),
        (b"\xef\xbb\xbf# coding: latin-1\n", "encoding"),
        (b"def f(:\n    pass\n", "syntax error for Python"),
        (b"print 'x'\n", "syntax error for Python"),
        (b"type X[T: = int\n", "syntax error for Python"),
        (b"def f():\n    await g()\n", "'await' outside async function"),
        (b"async def f():\n    x = lambda: await g()\n", "'await' outside async function"),
        (b"await g()\n", "'await' outside function"),
        (b"def f(x):\n    async with x: pass\n", "'async with' outside async function"),
        (b"def f(x):\n    return [y async for y in x]\n", "outside of an asynchronous function"),
        (b"type X[T] = int\ndef f():\n    await g()\n", "'await' outside async function"),
        (b"(" * 5000 + b")" * 5000, "nested deeper"),
        (b"x = " + b"-" * 20000 + b"1\n", "nested deeper"),
        (b"x = " + b"[" * 150 + b"a." * 5000 + b"b" + b"]" * 150, "nested deeper"),
    ],
)
def test_one_bad_file_is_skipped_with_its_reason(tree, data, reason):
    (tree / "bad.py").write_bytes(data)
    assert reason in reasons(tree)["bad.py"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xef\xbb\xbf" + GOOD.replace("f()", "g()").encode(),
        b"# coding: latin-1\nx = '\xe9'\n",
        b"x = 1\r\ny = 2\r\n",
        b"x = 1\ry = 2\r",
        b"x = '\\d'\n",
        b"def f(x):\n    return (y async for y in x)\n",
        b"x = " + b"'a' + " * 900 + b"'a'\n",
        b"if x:\n    pass\n" + b"elif y:\n    pass\n" * 150,
    ],
)
def test_odd_but_sound_files_are_read(tree, data):
    (tree / "odd.py").write_bytes(data)
    report = scanned(tree)
    assert not report.skipped
    assert {one.kind for one in report.findings} == {"blocking-sleep"}


def test_a_line_is_counted_as_python_counts(tree):
    (tree / "good.py").write_bytes(
        ("# coding: latin-1\r\n'é'\r\n" + GOOD.replace("\n", "\r\n")).encode("latin-1")
    )
    (found,) = scanned(tree).findings
    assert (found.line, found.column, found.source) == (5, 5, "time.sleep(1)")


def test_columns_count_characters(tree):
    (tree / "good.py").write_text(
        "import time\nasync def f():\n    é = 'ééé'; time.sleep(1)\n", "utf-8"
    )
    (found,) = scanned(tree).findings
    assert (found.line, found.column) == (3, 16)


def test_a_hundred_thousand_lines(tree):
    (tree / "long.py").write_text("x = 1\n" * 100_000)
    report = scanned(tree)
    assert report.counts["lines"] == 100_003
    assert not report.skipped


def test_links_that_loop_or_lead_nowhere(tree):
    (tree / "sub").mkdir()
    (tree / "sub" / "back").symlink_to(tree, target_is_directory=True)
    (tree / "gone.py").symlink_to(tree / "nothing.py")
    found = reasons(tree)
    assert "back to a folder" in found["sub/back"]
    assert "leads nowhere" in found["gone.py"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_opened(tree):
    closed = tree / "closed"
    closed.mkdir(mode=0)
    try:
        assert "can't be opened" in reasons(tree)["closed/"]
    finally:
        closed.chmod(0o700)


def test_a_pipe_is_not_waited_for(tree):
    os.mkfifo(tree / "pipe.py")
    assert "not a regular file" in reasons(tree)["pipe.py"]


def test_names_that_no_line_can_hold(tree, capsys):
    for name in (b"new\nline.py", b"od\xffd.py", b"\x1b[31mred.py"):
        (tree / os.fsdecode(name)).write_text(GOOD)
    target = tree / "report"
    for form in ("text", "json", "sarif", "html"):
        assert main(["scan", str(tree), "--format", form, "--output", str(target)]) == 0
        assert "od" in target.read_text("utf-8")
    uris = {
        one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for one in sarif(scanned(tree))["runs"][0]["results"]
    }
    assert uris == {"good.py", "new%0Aline.py", "od%FFd.py", "%1B%5B31mred.py"}
    assert main(["scan", str(tree)]) == 0
    printed = capsys.readouterr().out
    assert "new\\nline.py:3:5" in printed
    assert "\x1b" not in printed


def test_paths_that_cannot_be_scanned(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "self.py").symlink_to(tmp_path / "self.py")
    (tmp_path / "gone.py").symlink_to(tmp_path / "nothing.py")
    for path in ("nowhere", "self.py", "gone.py", "x" * 5000):
        assert main(["scan", path]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert path in line
    with pytest.raises(SystemExit) as ended:
        main(["scan", ""])
    assert ended.value.code == 2
    assert "empty" in capsys.readouterr().err


def test_a_folder_with_one_good_file_was_read(tree, capsys):
    (tree / "gone.py").symlink_to(tree / "nothing.py")
    assert main(["scan", str(tree)]) == 0
    (tree / "good.py").write_text("def f(:\n")
    assert main(["scan", str(tree)]) == 2
    assert "Nothing was read." in capsys.readouterr().out


def test_modules_of_one_name(tmp_path):
    for name, body in (("a", "time.sleep(1)"), ("b", "return 1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool.py").write_text(f"import time\ndef work():\n    {body}\n")
        (tmp_path / name / "main.py").write_text(
            "from tool import work\nasync def f():\n    work()\n"
        )
    assert [one.file for one in scanned(tmp_path).findings] == ["a/main.py"]


def test_imports_in_a_circle(tmp_path):
    (tmp_path / "a.py").write_text(
        "from b import *\nfrom b import g\nclass A(B):\n    pass\ndef f():\n    return g()\n"
    )
    (tmp_path / "b.py").write_text(
        "from a import *\nfrom a import f, A\nclass B(A):\n    pass\ndef g():\n    return f()\n"
        "x = y\ny = x\nasync def h():\n    g()\n    x.read()\n    B().read()\n"
    )
    assert not scanned(tmp_path).findings


def test_nothing_is_run_or_written(tree):
    mark = tree / "mark"
    (tree / "setup.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    (tree / "queue.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    before = sorted(tree.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "loopclinic", "scan", ".", "--jobs", "2", "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(tree.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for children in /proc")
def test_control_c_ends_the_workers(tmp_path):
    for number in range(300):
        (tmp_path / f"m{number}.py").write_text("x = [1, 2, 3]\n" * 3000)
    command = [sys.executable, "-m", "loopclinic", "scan", str(tmp_path), "--jobs", "2"]
    with subprocess.Popen(
        [*command, "--no-cache"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        assert within(20, lambda: len(workers.read_text().split()) == 2)
        children = workers.read_text().split()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert within(10, lambda: not any(Path("/proc", child).exists() for child in children))
