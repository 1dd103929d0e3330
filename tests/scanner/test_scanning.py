"""A scan as a whole: cache, processes, settings, baseline, ignore comments."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from loopclinic.cli.main import main
from loopclinic.scanner import scanning, worker_pool
from loopclinic.scanner.options import Settings, SettingsError, settings_for
from loopclinic.scanner.scanning import scan_path
from tests.scanner.conftest import APP, STORE

ROOT = Path(__file__).parents[2]


def kinds(report):
    return [one.kind for one in report.findings]


@pytest.mark.parametrize(
    ("call", "blocks"),
    [
        ("psutil.cpu_percent(interval=0.2)", True),
        ("psutil.cpu_percent(1)", True),
        ("psutil.cpu_percent(seconds)", True),
        ("psutil.Process().cpu_percent(interval=1)", True),
        ("psutil.cpu_percent()", False),
        ("psutil.cpu_percent(None)", False),
        ("psutil.cpu_times_percent(interval=0, percpu=True)", False),
        ("psutil.Process().cpu_percent()", False),
    ],
)
def test_what_waits_only_for_an_interval_needs_to_be_given_one(tmp_path, call, blocks):
    code = f"import psutil\n\nasync def load(seconds):\n    return {call}\n"
    (tmp_path / "load.py").write_text(code, "utf-8")
    assert kinds(scan_path(tmp_path, Settings(), jobs=1)) == ["blocking-sleep"] * blocks


def test_json_is_as_promised(tree, capsys):
    assert main(["scan", str(tree), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    direct, through, hint = found["findings"]
    assert (direct["file"], direct["line"], direct["column"]) == ("app.py", 7, 5)
    assert (direct["kind"], direct["confidence"]) == ("blocking-sleep", "certain")
    assert direct["lesson"] == "01_blocking_sleep"
    assert [(one["file"], one["line"], one["function"]) for one in through["chain"]] == [
        ("app.py", 11, "through"),
        ("store.py", 5, "load"),
    ]
    assert hint["confidence"] == "hint"
    (skipped,) = found["skipped"]
    assert (skipped["file"], skipped["line"]) == ("broken.py", 1)
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in skipped["reason"]
    counts = found["counts"]
    assert counts["files"] == 3
    assert counts["syntax_errors"] == 1
    assert (counts["async_functions"], counts["sync_functions"]) == (3, 2)
    assert counts["mixed_files"] == 0


NEWER = {
    "a template": ((3, 14), "import time\nasync def f():\n    return t'{time.sleep(1)}'\n"),
    "bare excepts": (
        (3, 14),
        (
            "import time\nasync def f():\n    try:\n        pass\n"
            "    except ValueError, TypeError:\n        time.sleep(1)\n"
        ),
    ),
    "an end that returns": (
        (3, 14),
        (
            "import time\nasync def f():\n    try:\n        pass\n"
            "    finally:\n        return time.sleep(1)\n"
        ),
    ),
    "a lazy import": ((3, 15), "lazy import time\nasync def f():\n    time.sleep(1)\n"),
    "lazy names": ((3, 15), "lazy from time import sleep\nasync def f():\n    sleep(1)\n"),
    "an unpacked list": (
        (3, 15),
        "import time\nasync def f(many):\n    return [*time.sleep(one) for one in many]\n",
    ),
    "an unpacked dict": (
        (3, 15),
        "import time\nasync def f(many):\n    return {**time.sleep(one) for one in many}\n",
    ),
}


@pytest.mark.parametrize("what", NEWER)
def test_what_newer_pythons_can_be_written_in(tmp_path, what):
    since, source = NEWER[what]
    if sys.version_info < since:
        pytest.skip(f"came with {since[0]}.{since[1]}")
    (tmp_path / "app.py").write_text(source)
    assert kinds(scan_path(tmp_path, Settings(), jobs=1)) == ["blocking-sleep"]


@pytest.mark.skipif(sys.version_info < (3, 15), reason="unpacking comprehensions came with 3.15")
def test_what_is_unpacked_is_awaited_in_turn_all_the_same(tmp_path):
    gathered = "async def f(many):\n    return [*await fetch_all(one) for one in many]\n"
    (tmp_path / "app.py").write_text(gathered)
    found = scan_path(tmp_path, Settings(min_confidence="hint"), jobs=1)
    assert kinds(found) == ["sequential-awaits"]


def test_gates(tree, capsys):
    def status(*more):
        code = main(["scan", str(tree), "--exclude", "broken.py", *more])
        capsys.readouterr()
        return code

    assert status() == 0
    assert status("--fail-on", "any") == 1
    assert status("--fail-on", "blocking-sleep,blocking-db") == 1
    assert status("--fail-on", "blocking-http") == 0
    assert status("--fail-on", "unbounded-gather") == 0  # a hint
    assert status("--fail-on", "unbounded-gather", "--min-confidence", "hint") == 1
    assert status("--fail-on", "any", "--ignore", "blocking-sleep,blocking-db") == 0
    assert status("--fail-on", "no-such-kind") == 2
    assert status("--fail-on", "unisolated-failure") == 2  # else it would always pass


def test_the_hook_fails_on_what_is_likely(tree, monkeypatch):
    (tree / "broken.py").unlink()
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    command = [sys.executable, "-P", "-m", *hook["entry"].split(), *hook["args"]]

    def run():
        return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)

    done = run()
    assert done.returncode == 1, done.stderr
    assert "app.py:11:12  certain" in done.stdout
    assert "unbounded-gather" not in done.stdout  # a hint
    (tree / "app.py").write_text("async def f():\n    pass\n")
    assert run().returncode == 0


def test_several_paths_are_not_mixed_in_one_file(tree, tmp_path, capsys):
    target = tmp_path / "x.json"
    for more in (["--output", str(target)], ["--format", "json"], ["--plan"]):
        assert main(["scan", str(tree / "app.py"), str(tree / "store.py"), *more]) == 2
        assert "give one" in capsys.readouterr().err
    assert not target.exists()
    assert main(["scan", str(tree / "app.py"), str(tree / "store.py")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("1 file\n") == 2


def test_nothing_readable_is_status_2(tmp_path, capsys):
    assert main(["scan", str(tmp_path / "nowhere")]) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["scan", str(tmp_path / "empty")]) == 2
    assert "contains no Python files" in capsys.readouterr().err
    bad = tmp_path / "bad.py"
    bad.write_bytes(b"\0")
    assert main(["scan", str(bad)]) == 2


def test_one_file_is_scanned(tree, capsys):
    assert main(["scan", str(tree / "app.py"), "--min-confidence", "likely"]) == 0
    printed = capsys.readouterr().out
    assert "app.py:7:5" in printed
    assert "01_blocking_sleep" in printed


def test_ignore_comments(tree):
    text = APP.replace(
        "time.sleep(1)", "time.sleep(1)  # loopclinic: ignore[blocking-sleep] a demo"
    )
    text = text.replace("load()", "load()  # loopclinic: ignore[blocking-sleep] another kind")
    (tree / "app.py").write_text(text)
    assert kinds(scan_path(tree, Settings(min_confidence="likely"))) == ["blocking-db"]
    (tree / "app.py").write_text(text.replace("[blocking-sleep] another kind", ""))
    assert kinds(scan_path(tree, Settings(min_confidence="likely"))) == []


def test_a_comment_where_it_blocks_holds_for_all_who_call_it(tree):
    loud = STORE.replace(
        'connect("x")', 'connect("x")  # loopclinic: ignore[blocking-db] in memory'
    )
    (tree / "store.py").write_text(loud)
    assert kinds(scan_path(tree, Settings(min_confidence="likely"))) == ["blocking-sleep"]
    (tree / "store.py").write_text(loud.replace("blocking-db", "blocking-http"))
    assert kinds(scan_path(tree, Settings(min_confidence="likely"))) == [
        "blocking-sleep",
        "blocking-db",
    ]


def test_a_comment_of_its_own_is_meant_for_the_code_below(tree):
    above = "# loopclinic: ignore[blocking-sleep] a demo\n    # of two lines\n    time.sleep(1)"
    (tree / "app.py").write_text(APP.replace("time.sleep(1)", above))
    assert kinds(scan_path(tree, Settings(min_confidence="likely"))) == ["blocking-db"]
    (tree / "app.py").write_text(APP.replace("time.sleep(1)", f"{above}\n    time.sleep(2)"))
    (found, _) = scan_path(tree, Settings(min_confidence="likely")).findings
    assert found.source == "time.sleep(2)"


def test_what_runs_once_is_a_hint_and_hides_nothing_surer(tmp_path):
    (tmp_path / "one.py").write_text(
        "import functools, time\n"
        "@functools.cache\ndef options():\n    return open('x').read()\n"
        "@functools.cache\ndef named(name):\n    return open(name).read()\n"
        "def slow():\n    slower()\n"
        "def slower():\n    time.sleep(1)\n"
        "def both():\n    options()\n    slow()\n"
        "async def f():\n    options()\n    named('x')\n    both()\n"
    )
    found = scan_path(tmp_path, Settings()).findings
    assert [
        (one.line, one.kind, one.confidence) for one in sorted(found, key=lambda x: x.line)
    ] == [
        (16, "blocking-file-io", "hint"),
        (17, "blocking-file-io", "certain"),
        (18, "blocking-sleep", "certain"),
    ]


def test_a_baseline_leaves_only_what_is_new(tree, capsys):
    baseline = tree / "known.json"
    assert main(["scan", str(tree), "--write-baseline", str(baseline)]) == 0
    line = APP.splitlines()[6]
    moved = "# a line\n" + APP.replace(line, f"{line}\n{line.replace('1', '2')}")
    (tree / "app.py").write_text(moved)
    capsys.readouterr()
    code = main(
        ["scan", str(tree), "--baseline", str(baseline), "--fail-on", "any", "--format", "json"]
    )
    found = json.loads(capsys.readouterr().out)
    assert code == 1
    assert [one["line"] for one in found["findings"]] == [9]
    assert found["counts"]["in_baseline"] == 3
    assert main(["scan", str(tree), "--baseline", str(tree / "none.json")]) == 2
    assert "--write-baseline" in capsys.readouterr().err


def test_a_baseline_keeps_the_reasons_of_what_is_still_there(tree, capsys):
    baseline = tree / "known.json"
    main(["scan", str(tree), "--write-baseline", str(baseline)])
    known = json.loads(baseline.read_text())
    kept, gone, _ = known["known"]
    known["reasons"] = {kept: "on purpose", gone: "soon fixed", "none such": "gone"}
    baseline.write_text(json.dumps(known))
    (tree / "app.py").write_text(APP.partition("async def hinted")[0])
    assert main(["scan", str(tree), "--write-baseline", str(baseline)]) == 0
    again = json.loads(baseline.read_text())
    assert list(again["known"]) == [one for one in known["known"] if one != gone]
    assert again["reasons"] == {kept: "on purpose"}


def test_the_kit_knows_why_each_of_its_own_findings_stays():
    known = json.loads((ROOT / "scan-baseline.json").read_text())
    assert set(known["known"]) == set(known["reasons"])


def test_settings_of_the_project(tree):
    (tree / "pyproject.toml").write_text(
        """
        [tool.loopclinic.scan]
        fail-on = ["blocking-db"]
        exclude = ["broken.py"]
        min-confidence = "likely"
        [[tool.loopclinic.scan.catalogue]]
        module = "inhouse.mail"
        kind = "blocking-sdk"
        blocks = ["send"]
        source = "our wiki"
        """
    )
    (tree / "mail.py").write_text("from inhouse import mail\nasync def f():\n    mail.send()\n")
    settings = settings_for(tree)
    report = scan_path(tree, settings)
    assert kinds(report) == ["blocking-sleep", "blocking-db", "blocking-sdk"]
    assert not report.skipped
    assert settings.fail_on == ("blocking-db",)
    assert settings_for(tree, min_confidence="hint").min_confidence == "hint"


def test_functions_of_ones_own_that_block(tree):
    (tree / "pyproject.toml").write_text(
        """
        [[tool.loopclinic.scan.blocking]]
        function = "ledger.Ledger.post"
        kind = "blocking-net"
        remedy = "await post_async() instead"
        [[tool.loopclinic.scan.blocking]]
        function = "vendor.bank.pay"
        kind = "blocking-sdk"
        """
    )
    (tree / "app.py").write_text(
        "from ledger import Ledger\nfrom vendor import bank\n"
        "async def f():\n    Ledger().post(1)\n    bank.pay(1)\n    bank.look(1)\n"
    )
    (tree / "ledger.py").write_text("class Ledger:\n    def post(self, row):\n        return row\n")
    found = scan_path(tree, settings_for(tree)).findings
    assert {one.line: one.kind for one in found} == {4: "blocking-net", 5: "blocking-sdk"}
    (post,) = (one.message for one in found if one.line == 4)
    assert "await post_async() instead" in post


def test_kinds_are_ignored_below_a_path(tree):
    (tree / "scripts").mkdir()
    (tree / "scripts" / "load.py").write_text("import time\nasync def f():\n    time.sleep(1)\n")
    (tree / "pyproject.toml").write_text(
        '[tool.loopclinic.scan.per-path-ignores]\n"scripts" = ["any"]\n"app.py" = ["blocking-db"]\n'
    )
    report = scan_path(tree, settings_for(tree, min_confidence="likely"))
    assert [(one.file, one.kind) for one in report.findings] == [("app.py", "blocking-sleep")]


def test_an_allowed_finding_that_is_gone_is_told(tree, capsys):
    (tree / "pyproject.toml").write_text(
        """
        [tool.loopclinic.scan]
        min-confidence = "likely"
        fail-on = ["any"]
        [[tool.loopclinic.scan.allow]]
        path = "app.py"
        kind = "blocking-sleep"
        function = "direct"
        source = "time.sleep(1)"
        reason = "a demo"
        [[tool.loopclinic.scan.allow]]
        path = "*.py"
        kind = "blocking-db"
        reason = "in memory"
        [[tool.loopclinic.scan.allow]]
        path = "app.py"
        kind = "blocking-http"
        reason = "until June"
        """
    )
    (tree / "broken.py").unlink()
    report = scan_path(tree, settings_for(tree))
    assert not report.findings
    assert report.unneeded == ("allow: blocking-http in app.py (until June)",)
    assert main(["scan", str(tree)]) == 0
    told = "No longer needed in pyproject.toml: allow: blocking-http in app.py (until June)."
    assert told in capsys.readouterr().err
    (tree / "app.py").write_text(APP.replace("time.sleep(1)", "time.sleep(2)"))
    assert main(["scan", str(tree)]) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fail_ons = []", "'fail_ons' is unknown"),
        ("min-confidence = 'high'", "use hint, likely, certain"),
        ("ignore = ['x']", "no conflict"),
        ("fail-on = ['retry-storm']", "only a running program shows"),
        ("exclude = 'x'", "wrong type"),
        ("exclude = [", "can't be read"),
        ("per-path-ignores = { tests = ['x'] }", "no conflict"),
        ("per-path-ignores = ['x']", "wrong type"),
        ("allow = [{ path = 'x', kind = 'blocking-db' }]", "it needs kind, path, reason"),
        ("allow = [{ path = 'x', kind = 'x', reason = 'x' }]", "no conflict"),
        ("blocking = [{ function = 'x', kind = 'blocking-db', why = 'x' }]", "may have remedy"),
    ],
)
def test_settings_that_cannot_be_used(tree, text, complaint):
    (tree / "pyproject.toml").write_text(f"[tool.loopclinic.scan]\n{text}\n")
    with pytest.raises(SettingsError, match=complaint):
        settings_for(tree)


def test_a_second_scan_reads_only_what_changed(tree, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(worker_pool, "read", lambda path: read.append(path.name) or original(path))
    from loopclinic.scanner.file_facts import read as original

    options = {"cache": tmp_path / "cache", "jobs": 1}
    first = scan_path(tree, Settings(), **options)
    assert sorted(read) == ["app.py", "broken.py", "store.py"]
    read.clear()
    (tree / "store.py").write_text(STORE.replace('sqlite3.connect("x")', "1"))
    assert kinds(scan_path(tree, Settings(), **options)) == ["blocking-sleep", "unbounded-gather"]
    assert read == ["store.py"]
    read.clear()
    (tree / "store.py").write_text(STORE)
    assert scan_path(tree, Settings(), **options).findings == first.findings
    monkeypatch.setattr(scanning, "_look", None)
    again = scan_path(tree, Settings(), **options)
    assert (again.findings, again.skipped, again.counts) == (
        first.findings,
        first.skipped,
        first.counts,
    )


def test_a_damaged_cache_is_only_slower(tree, tmp_path):
    cache = tmp_path / "cache"
    first = scan_path(tree, Settings(), cache=cache, jobs=1)
    for one in cache.iterdir():
        one.write_bytes(b"\xff{")
    assert scan_path(tree, Settings(), cache=cache, jobs=1).findings == first.findings
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert scan_path(tree, Settings(), cache=blocked / "x", jobs=1).findings == first.findings


def test_processes_find_the_same(tree):
    alone, together = (scan_path(tree, Settings(), jobs=jobs) for jobs in (1, 2))
    assert alone.findings == together.findings
    assert alone.skipped == together.skipped


def test_the_light_install_can_scan(tree):
    code = (
        "import sys\n"
        "class Only:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] not in sys.stdlib_module_names | {'loopclinic'}:\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Only())\n"
        "from loopclinic.cli.main import main\n"
        f"sys.exit(main(['scan', {str(tree)!r}, '--fail-on', 'blocking-db']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "sqlite3.connect" in done.stdout
