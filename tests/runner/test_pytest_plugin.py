"""The pytest plugin, run by pytest itself on suites of its own."""

import re
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "loopclinic.runner.pytest_plugin"
INSTALLED = any(point.value == PLUGIN for point in entry_points(group="pytest11"))
LOAD = () if INSTALLED else ("-p", PLUGIN)
SCOPE = "asyncio_default_fixture_loop_scope = function\n"
QUIET = ("-p", "no:cacheprovider", "-p", "no:timeout")

HEAD = "import asyncio, time, unittest\nimport pytest\n\n"
STUCK = (
    HEAD
    + """
@pytest.mark.loop_budget(0.1)
async def test_stuck():
    await asyncio.sleep(0)
    time.sleep(0.3)  # the line
"""
)


@pytest.fixture
def suite(pytester):
    """Run a suite of this source in this process; with `apart=True` in one of its own."""

    def run(source, *options, ini="", apart=False):
        pytester.makefile(".ini", pytest=f"[pytest]\nasyncio_mode = auto\n{SCOPE}{ini}")
        pytester.makepyfile(test_it=source)
        run = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
        return run(*LOAD, *QUIET, *options)

    return run


def test_it_is_found_by_pytest_where_it_is_installed():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert PLUGIN in project["project"]["entry-points"]["pytest11"].values()


def test_the_marker_fails_a_test_and_names_the_line(suite):
    result = suite(STUCK)
    result.assert_outcomes(failed=1)
    said = str(result.stdout)
    line = STUCK.splitlines().index("    time.sleep(0.3)  # the line") + 1
    assert re.search(r"the event loop was stuck for \d+ ms, over its budget of 100 ms", said)
    assert f"test_it.py:{line}: " in said
    assert "time.sleep(0.3)  # the line" in said
    assert "blocking-sleep" in said


@pytest.mark.alone
def test_a_collection_is_billed_to_a_test_only_if_it_calls_for_one(suite):
    result = suite(
        HEAD
        + """
import gc

KEPT = [[[]] for _ in range(1_200_000)]

@pytest.fixture(autouse=True)
def due():
    gc.unfreeze()
    gc.set_threshold(500, 0, 0)
    yield
    gc.set_threshold(700, 10, 10)

@pytest.mark.loop_budget(0.05)
async def test_does_little():
    await asyncio.sleep(0.01)
    found = [[] for _ in range(600)]
    gc.set_threshold(0)

@pytest.mark.loop_budget(0.05)
async def test_collects():
    gc.set_threshold(0)
    await asyncio.sleep(0.01)
    gc.collect()  # the line
""",
        apart=True,
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*gc.collect()*", "*called for by gc.collect()*"])


def test_waiting_is_not_stalling_and_below_the_budget_is_allowed(suite):
    result = suite(
        HEAD
        + """
@pytest.mark.loop_budget(0.5)
async def test_waits():
    await asyncio.sleep(0.6)

@pytest.mark.loop_budget(seconds=2)
async def test_short():
    time.sleep(0.1)
"""
    )
    result.assert_outcomes(passed=2)


def test_it_is_off_unless_asked_for(suite):
    suite(STUCK.replace("@pytest.mark.loop_budget(0.1)", "")).assert_outcomes(passed=1)


@pytest.mark.parametrize("how", ["option", "ini"])
def test_a_budget_for_the_whole_suite_and_tests_that_have_their_own(suite, how):
    source = (
        HEAD
        + """
async def test_stuck():
    time.sleep(0.3)

def test_stuck_without_a_plugin():
    async def main():
        time.sleep(0.3)
    asyncio.run(main())

@pytest.mark.loop_budget(5)
async def test_allowed():
    time.sleep(0.3)

@pytest.mark.loop_budget(None)
async def test_lifted():
    time.sleep(0.3)

def test_without_a_loop():
    time.sleep(0.3)
"""
    )
    options = ["--loop-budget=0.1"] if how == "option" else []
    ini = "loop_budget = 0.1\n" if how == "ini" else "loop_budget = 60\n"
    result = suite(source, *options, ini=ini)
    result.assert_outcomes(failed=2, passed=3)
    result.stdout.fnmatch_lines(
        ["FAILED *::test_stuck *", "FAILED *::test_stuck_without_a_plugin *"]
    )


def test_the_fixture_tells_and_judges(suite):
    result = suite(
        HEAD
        + """
async def test_tells(loop_probe):
    loop_probe.budget = None
    time.sleep(0.2)
    await asyncio.sleep(0.01)
    (stall,) = [one for one in loop_probe.stalls if one.seconds >= 0.2]
    assert stall.code == "time.sleep(0.2)"
    assert loop_probe.report().lag.max >= 0.2

async def test_has_a_budget_of_its_own(loop_probe):
    time.sleep(0.3)

@pytest.mark.loop_budget(5)
async def test_takes_the_markers(loop_probe):
    assert loop_probe.budget == 5
    time.sleep(0.3)

def test_has_nothing_to_say(loop_probe):
    assert loop_probe.stalls == ()
    with pytest.raises(RuntimeError, match="No event loop has run"):
        loop_probe.report()
"""
    )
    result.assert_outcomes(failed=1, passed=3)
    result.stdout.fnmatch_lines(["FAILED *::test_has_a_budget_of_its_own *"])


def test_anyio_and_unittest_and_a_thread(suite):
    result = suite(
        HEAD
        + """
import threading

@pytest.mark.anyio
@pytest.mark.loop_budget(0.1)
async def test_anyio():
    time.sleep(0.3)

@pytest.fixture
def anyio_backend():
    return "asyncio"

class Case(unittest.IsolatedAsyncioTestCase):
    @pytest.mark.loop_budget(0.1)
    async def test_case(self):
        time.sleep(0.3)

async def main():
    time.sleep(0.3)

@pytest.mark.loop_budget(0.1)
def test_thread():
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()
""",
        "-p",
        "no:asyncio",
    )
    result.assert_outcomes(failed=3)
    assert str(result.stdout).count("over its budget of 100 ms") >= 3


@pytest.mark.skipif(sys.platform == "win32", reason="no uvloop")
@pytest.mark.parametrize("scope", ["function", "session"])
def test_a_loop_that_a_fixture_began_counts_during_the_test(suite, scope):
    source = (
        HEAD
        + f"""
import threading

@pytest.fixture(scope={scope!r})
def background():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(stuck(), loop).result()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()

async def stuck():
    time.sleep(0.3)  # the line

def test_calm(background):
    pass

def test_stuck(background):
    asyncio.run_coroutine_threadsafe(stuck(), background).result()
"""
    )
    result = suite(source, "--loop-budget", "0.1")
    result.assert_outcomes(passed=1, failed=1)
    said = str(result.stdout)
    assert "FAILED test_it.py::test_stuck" in said
    assert (
        f"test_it.py:{1 + source.splitlines().index('    time.sleep(0.3)  # the line')}: " in said
    )


def test_uvloop_that_was_imported_before(suite):
    pytest.importorskip("uvloop")
    result = suite(
        HEAD
        + """
import uvloop

async def main():
    await asyncio.sleep(0.05)
    time.sleep(0.3)
    await asyncio.sleep(0.05)

@pytest.mark.loop_budget(0.1)
def test_uvloop():
    uvloop.run(main())
"""
    )
    result.assert_outcomes(failed=1)
    assert "time.sleep(0.3)" in str(result.stdout)


def test_a_loop_that_outlives_the_test_is_judged_and_left_alone(suite):
    result = suite(
        HEAD
        + """
import threading

loop = asyncio.new_event_loop()
thread = threading.Thread(target=loop.run_forever)

@pytest.mark.loop_budget(0.1)
def test_starts():
    thread.start()
    async def stuck():
        await asyncio.sleep(0)
        time.sleep(0.3)
        await asyncio.sleep(0)
    asyncio.run_coroutine_threadsafe(stuck(), loop).result()

def test_is_left():
    names = [one.name for one in threading.enumerate()]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert not [name for name in names if name.startswith("loopclinic")]
"""
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["FAILED *::test_starts *"])


def test_a_test_that_fails_anyhow_keeps_its_own_reason(suite):
    result = suite(STUCK + "    assert 1 == 2\n")
    result.assert_outcomes(failed=1)
    said = str(result.stdout)
    assert "assert 1 == 2" in said
    assert "Captured event loop call" in said
    assert "over its budget" in said


@pytest.mark.parametrize("value", ["'x'", "0", "-1", "", "1, 2", "True", "hours=1"])
def test_a_wrong_marker_is_one_sentence(suite, value):
    result = suite(STUCK.replace("loop_budget(0.1)", f"loop_budget({value})"))
    result.assert_outcomes(failed=1)
    assert "write @pytest.mark.loop_budget(0.1)." in str(result.stdout)
    assert "Traceback" not in str(result.stdout)


def test_a_wrong_setting_is_one_sentence(suite):
    result = suite(STUCK, ini="loop_budget = soon\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "'soon' is not a number of seconds above zero." in str(result.stderr)
    result = suite(STUCK, "--loop-budget=0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "'0' is not a number of seconds above zero." in str(result.stderr)


@pytest.mark.prove
def test_under_xdist(suite):
    result = suite(STUCK, "-n", "1", "--loop-budget=5", apart=True)
    result.assert_outcomes(failed=1)
    assert "over its budget of 100 ms" in str(result.stdout)


def test_a_suite_that_does_not_ask_imports_no_probe(suite):
    source = """
import sys

def test_nothing():
    ours = sorted(name for name in sys.modules if name.startswith("loopclinic"))
    assert ours == ["loopclinic", "loopclinic.runner", "loopclinic.runner.pytest_plugin"]
    assert "asyncio" not in sys.modules or hasattr(sys.modules["pdb"], "asyncio")
"""
    # Other plugins bring asyncio with them, and from 3.14 on pdb, which pytest imports.
    others = (
        "-p",
        "no:asyncio",
        "-p",
        "no:anyio",
        "-p",
        "no:xdist",
        "-p",
        "no:randomly",
        "-p",
        "no:valkey",
    )
    suite(source, *others, apart=True).assert_outcomes(passed=1)
