"""`make prove` resumes after an interruption, and skips real-time tests on a busy machine."""

import os

import psutil
import pytest

from tests import alone, proving

pytest_plugins = ["pytester"]

WITHOUT = [f"-pno:{name}" for name in ("loopclinic", "asyncio", "cacheprovider")]
TESTS = """
import pytest
pytestmark = pytest.mark.prove

def test_one(): pass
def test_two(): pass
def test_three(): assert {good}
"""


@pytest.fixture
def prove(pytester, monkeypatch):
    """Run tests as `make prove` does; how they ended is parsed from the last line."""
    monkeypatch.setattr(proving, "PROVED", pytester.path / "build" / "proved.jsonl")
    state = ["one"]
    monkeypatch.setattr(proving, "tree", lambda: state[0])
    options = ("-p", "tests.proving", *WITHOUT)

    def run(*arguments, good=True, tree="one"):
        state[0] = tree
        pytester.makepyfile(TESTS.format(good=good))
        return pytester.runpytest_inprocess(*options, *arguments)

    return run


def test_what_has_passed_is_kept_and_what_failed_runs_again(prove):
    prove(good=False).assert_outcomes(passed=2, failed=1)
    again = prove()
    again.assert_outcomes(passed=1, deselected=2)
    again.stdout.fnmatch_lines(["2 of 3 kept from before: --anew runs them, too"])
    whole = prove()
    whole.assert_outcomes(deselected=3)
    assert whole.ret == 0
    prove("--anew").assert_outcomes(passed=3)


def test_what_an_interrupt_meets_is_kept(prove, pytester):
    prove("-k", "one").assert_outcomes(passed=1, deselected=2)
    with proving.PROVED.open("a") as file:
        file.write('{"test": "test_what_an_inter')
    prove().assert_outcomes(passed=2, deselected=1)


def test_another_state_of_the_kit_is_proved_anew(prove):
    prove()
    prove(tree="two").assert_outcomes(passed=3)


def test_what_is_left_out_for_want_of_time_is_said_and_not_kept(prove):
    done = prove("--within", "0")
    done.assert_outcomes(skipped=3)
    done.stdout.fnmatch_lines(["3 of 3 left out for want of time:", "*3 test_*.py"])
    prove().assert_outcomes(passed=3)


def test_figures_are_told_by_lesson_and_machine():
    def told(submission, machine, peak, outcome="passed"):
        verdict = {"lesson": "04", "submission": submission, "machine": machine, "seconds": peak}
        return {"verdict": {**verdict, "vitals": {"peak": peak}}, "outcome": outcome}

    ones = [told("04-solution", "idle", peak) for peak in (3.0, 4.0, 8.0)]
    busy = told("04-right_a", "busy", 6.0, "failed")
    assert list(proving.figures([*ones, busy, {"test": "another"}])) == [
        "lesson 04, busy: 0 of 1 verdicts as named, 0 without verdict; 6.0 s each, 6.0 s at most",
        "lesson 04, idle: 3 of 3 verdicts as named, 0 without verdict; 4.0 s each, 8.0 s at most",
        "  04-solution, idle, peak: 3 to 8 in 3 trials",
    ]


class Machine:
    """Processor seconds as psutil tells them: of the machine, and of this process."""

    def __init__(self, monkeypatch):
        self.user = self.idle = self.mine = 0.0
        kinds = psutil.cpu_times()._fields
        self._kind = psutil.cpu_times().__class__
        self._others = dict.fromkeys(kinds, 0.0)
        monkeypatch.setattr(alone.psutil, "cpu_times", self.times)
        monkeypatch.setattr(alone.psutil, "Process", lambda: self)

    def times(self):
        return self._kind(**self._others | {"user": self.user, "idle": self.idle})

    pid = 1

    def ppid(self):
        return 0

    def cpu_times(self):
        return (self.mine, 0.0, 0.0, 0.0)

    def children(self, recursive):
        return []


@pytest.mark.parametrize(
    ("mine", "idle", "busy"),
    [
        (1.0, 3.0, False),  # nobody else
        (2.0, 0.0, False),  # a core kept busy, of two
        (0.1, 1.9, False),  # the same while the test waits
        (0.3, 0.1, True),
        (0.0, 0.0, True),
    ],
)
def test_a_test_of_real_time_has_no_verdict_where_others_had_the_processors(
    monkeypatch, mine, idle, busy
):
    monkeypatch.setattr(alone, "MOST", 0.75)
    machine = Machine(monkeypatch)
    account = alone.Account()
    machine.idle, machine.mine, machine.user = idle, mine, 4.0 - idle
    assert (alone.too_busy(account) is not None) == busy


@pytest.mark.parametrize(("rested", "said"), [(0.9, ""), (4.0, "took 4.0 ms for what else takes")])
def test_a_test_that_needs_quick_threads_has_no_verdict_where_none_is(monkeypatch, rested, said):
    now = [0.0]
    monkeypatch.setattr(alone.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(alone.time, "sleep", lambda seconds: cold.append(rested / 1000))
    monkeypatch.setattr(
        alone.textwrap, "wrap", lambda *_: now.__setitem__(0, now[0] + (cold or [1e-4]).pop())
    )
    cold: list[float] = []
    assert said in (alone.slow_to_wake() or "")
    assert bool(alone.slow_to_wake()) == bool(said)


@pytest.mark.parametrize(
    ("inherited", "parent", "used"),
    [
        (0.0, 1, 1.0),  # nobody waited for it: what it used before is not taken off
        (8.0, 1, 2.0),  # its parent did: 1 of its own, and 1 that the child used in between
        (8.0, 2, 2.0),  # its parent ended, too, and inherited it first
    ],
)
def test_a_child_that_ended_takes_nothing_from_the_others_time(inherited, parent, used):
    before = {
        1: alone.Used(5.0, 0.0, 0),
        2: alone.Used(0.0, 0.0, 1),
        3: alone.Used(7.0, 0.0, parent),
    }
    now = {1: alone.Used(6.0, inherited, 0)}
    if parent == 1:
        now[2] = before[2]
    assert alone.used_since(before, now) == used


@pytest.mark.parametrize("good", [True, False])
def test_on_a_busy_machine_it_is_neither_green_nor_red(pytester, monkeypatch, good):
    monkeypatch.setattr(alone, "too_busy", lambda account: "no verdict: busy")
    pytester.makepyfile(
        f"import pytest\n@pytest.mark.alone\ndef test_it(): assert {good}\ndef test_other(): pass\n"
    )
    done = pytester.runpytest_inprocess("-p", "tests.alone", *WITHOUT, "-rs")
    done.assert_outcomes(skipped=1, passed=1)
    done.stdout.fnmatch_lines(["*no verdict: busy*"])


def test_a_worker_waits_until_the_others_have_ended(tmp_path):
    mine = alone.Room(str(tmp_path))
    mine.enter()
    (tmp_path / "4194999").touch()  # it has crashed: there is no such process
    mine.wait()
    mine.tell({"tests/a.py::test_b[1]": "tests/a.py::test_b"})
    assert mine.told() == {"tests/a.py::test_b[1]": "tests/a.py::test_b"}
    mine.leave()
    assert not (tmp_path / str(os.getpid())).exists()
