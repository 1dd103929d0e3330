"""A check from end to end: seeds, progress, the notice about rights, faults of the kit and the machine."""

import os
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tiny_lesson import check as tiny_check
from tiny_lesson.check import CHECK, Doubling

from loopclinic import servers
from loopclinic.checks import check, check_lesson, checking, lab_files, progress
from loopclinic.checks.trial_processes import Limits, Shortage
from loopclinic.checks.trial_reasons import reasons_for_leftovers
from loopclinic.verdict import Verdict
from tests.checks.conftest import SOLVED


@pytest.fixture
def solved(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOLVED)
    return path


def test_the_seed_replays_and_is_told(tiny, solved):
    first = check_lesson(tiny, file=solved)
    assert check_lesson(tiny, file=solved, seed=first.seed).headline == first.headline


def test_a_verdict_survives_json(tiny, lab):
    verdict = check_lesson(tiny, file=lab, seed=3)
    assert Verdict.from_dict(verdict.to_dict()) == replace(
        verdict, seconds=round(verdict.seconds, 3)
    )


@pytest.mark.usefixtures("catalogue")
@pytest.mark.prove
def test_only_the_learners_own_lab_counts_as_progress(lab, solved):
    assert check("77", file=solved, say=lambda _: None).passed
    assert check("77", solution=True, say=lambda _: None).passed
    assert progress.read().lessons == {}
    assert not check("77", say=lambda _: None).passed
    lab.write_text(SOLVED)
    assert check(77, say=lambda _: None).passed
    one = progress.read().of("77_tiny")
    assert (one.attempts, one.passed) == (2, True)


@pytest.mark.usefixtures("catalogue", "lab")
def test_the_learner_is_told_once_whose_rights_a_lab_has():
    said = []
    for _ in range(2):
        check("77", say=said.append)
    assert said == [checking.RIGHTS]


@pytest.mark.usefixtures("catalogue", "lab")
def test_a_verdict_is_given_where_nothing_can_be_kept(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path / "file" / "state"))
    said = []
    assert check("77", say=said.append).status == "not-yet"
    assert all("LOOPCLINIC_HOME" in sentence for sentence in said)


@pytest.mark.usefixtures("catalogue")
def test_no_kit_folder_is_not_the_learners_fault(monkeypatch, tmp_path):
    monkeypatch.setenv("LOOPCLINIC_ROOT", str(tmp_path / "nowhere"))
    verdict = check("77", say=lambda _: None)
    assert verdict.status == "could-not-run"
    assert "LOOPCLINIC_ROOT" in verdict.reasons[0].sentence


def test_steps_are_heard(tiny, solved):
    steps = []
    check_lesson(tiny, file=solved, on_step=steps.append)
    assert steps[-1] == "counting"


def test_a_stopped_check_ends_at_once(tiny, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOLVED.replace("asyncio.sleep(0.01)", "asyncio.sleep(60)"))
    started = time.monotonic()
    verdict = check_lesson(tiny, file=path, stop=lambda: time.monotonic() > started + 1)
    assert verdict.status == "could-not-run"
    assert time.monotonic() - started < 4


def test_facts_name_the_learners_file_and_not_its_copy(tiny, solved):
    text = SOLVED.replace("return 2", "import warnings; globals()['where'] = __file__; return 2")
    solved.write_text(text.replace("self.value = start", "self.value = globals()['where']"))
    verdict = check_lesson(tiny, file=solved)
    assert "loopclinic-" not in str(verdict)


def in_package(lesson, name):
    """The same lesson with its lab, of another package."""
    other = type("Other", (type(lesson),), {"package": name, "shipped": lesson.shipped})
    return other(**{one: getattr(lesson, one) for one in lesson.__dataclass_fields__})


class TestTheKitOrTheMachine:
    def failed(self, verdict, *words):
        assert verdict.status == "could-not-run", verdict
        for word in words:
            assert word in verdict.reasons[0].sentence

    def test_no_temporary_folder(self, tiny, solved, monkeypatch, tmp_path):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
        self.failed(check_lesson(tiny, file=solved), "could not be set up")

    def test_no_interpreter(self, tiny, solved, monkeypatch):
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        self.failed(check_lesson(tiny, file=solved), "could not be set up")

    def test_a_child_that_does_not_start(self, tiny, solved, monkeypatch):
        monkeypatch.setenv("PYTHONHOME", "/nowhere")
        self.failed(check_lesson(tiny, file=solved), "did not start")

    def test_a_service_that_does_not_start(self, tiny, solved, monkeypatch):
        @contextmanager
        def broken():
            raise OSError("no port is free")
            yield ""

        monkeypatch.setitem(servers.SERVICES, "broken", broken)
        verdict = check_lesson(replace(tiny, services=("broken",)), file=solved)
        self.failed(verdict, "no port is free")

    def test_a_check_that_can_not_be_imported(self, solved, tiny):
        lost = in_package(tiny, "there_is_no_such_lesson")
        self.failed(check_lesson(lost, file=solved), "loopclinic itself failed")

    def test_a_judge_that_fails(self, solved, tiny, monkeypatch):
        monkeypatch.setattr(tiny_check, "CHECK", replace(CHECK, praise=lambda judged: 1 / 0))
        self.failed(check_lesson(tiny, file=solved), "could not judge")

    def test_a_machine_too_slow_to_begin(self, tiny, solved, tmp_path, monkeypatch):
        (tmp_path / "slow_lesson.py").write_text("__import__('time').sleep(60)")
        path = f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}"
        monkeypatch.setenv("PYTHONPATH", path)

        slow = in_package(tiny, "slow_lesson")
        verdict = check_lesson(slow, file=solved, limits=Limits(start=0.5))
        self.failed(verdict, "did not get ready")


class TestAMachineTooBusy:
    @pytest.fixture(autouse=True)
    def busy(self, tiny, monkeypatch):
        monkeypatch.setattr(Shortage, "share", 0.62)

    def test_what_was_seen_is_told_but_blames_nobody(self, tiny, lab):
        verdict = check_lesson(tiny, file=lab)
        assert verdict.status == "too-busy"
        (machine,) = verdict.reasons
        assert (machine.measured, machine.conflict) == ("62% of the time", None)
        assert [sign.conflict for sign in verdict.signs] == ["blocking-sleep"]
        assert verdict.conflicts == ()
        assert "broken" not in {promise.state for promise in verdict.promises}

    def test_so_it_is_where_two_seconds_were_missing(self, tiny, lab, monkeypatch):
        monkeypatch.setattr(Shortage, "share", 0.1)
        monkeypatch.setattr(Shortage, "worst", 0.84)
        verdict = check_lesson(tiny, file=lab)
        assert verdict.status == "too-busy"
        assert verdict.reasons[0].measured == "84% of 2 s"

    def test_what_rests_on_no_time_is_the_files(self, tiny, solved):
        solved.write_text(SOLVED.replace("return 2 * number", "return 3 * number"))
        verdict = check_lesson(tiny, file=solved)
        assert verdict.status == "not-yet"
        assert "gave" in verdict.reasons[0].sentence

    def test_of_what_rests_on_no_time_and_what_does_the_latter_are_signs(self, tiny, lab):
        lab.write_text(lab.read_text().replace("return 2 * number", "return 3 * number"))
        verdict = check_lesson(tiny, file=lab)
        assert verdict.status == "not-yet"
        (reason,), (sign,) = verdict.reasons, verdict.signs
        assert (reason.timed, sign.timed) == (False, True)
        assert verdict.headline.startswith("1 problem found; the machine was too busy")

    def test_in_virtual_time_no_machine_is_too_busy(self, tiny, lab, monkeypatch):
        virtual = replace(CHECK, virtual=True)
        monkeypatch.setattr(checking, "check_of", lambda _: virtual)
        verdict = check_lesson(tiny, file=lab)
        assert [reason.timed for reason in verdict.reasons] == [True]
        assert verdict.status == "not-yet"

    @pytest.fixture
    def virtual(self, tiny, tmp_path, monkeypatch):
        """The tiny lesson, in virtual time."""
        package = tmp_path / "virtual_lesson"
        package.mkdir()
        (package / "check.py").write_text(
            "from dataclasses import replace\nfrom tiny_lesson.check import CHECK as OTHER\n"
            "CHECK = replace(OTHER, virtual=True)\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))  # here it judges, and in the child it runs
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
        return in_package(tiny, "virtual_lesson")

    @pytest.mark.parametrize(
        ("taken", "status"), [(0.0, "not-yet"), (0.4, "not-yet"), (0.9, "too-busy")]
    )
    @pytest.mark.rows(1)
    def test_in_virtual_time_what_others_took_is_no_part_of_the_limit(
        self, virtual, solved, monkeypatch, taken, status
    ):
        monkeypatch.setattr(Shortage, "share", taken)
        solved.write_text(SOLVED.replace("await asyncio.sleep(0.01)", "while True: pass"))
        verdict = check_lesson(virtual, file=solved, limits=Limits(seconds=0.8, longest=1.6))
        assert verdict.status == status
        assert (verdict.headline == checking.TOO_BUSY) == (status == "too-busy")

    def test_a_pass_is_a_pass(self, tiny, solved):
        assert check_lesson(tiny, file=solved).passed

    def test_what_more_of_the_processor_would_not_have_ended_is_the_files(
        self, tiny, solved, monkeypatch
    ):
        solved.write_text(
            SOLVED.replace("await asyncio.sleep(0.01)", "__import__('time').sleep(60)")
        )
        limits = Limits(seconds=1.5)
        assert check_lesson(tiny, file=solved, limits=limits).status == "not-yet"
        solved.write_text(SOLVED.replace("asyncio.sleep(0.01)", "asyncio.sleep(60)"))
        monkeypatch.setattr(Shortage, "wanted", 0.95)
        assert check_lesson(tiny, file=solved, limits=limits).status == "not-yet"

    def test_a_hang_may_be_the_machines(self, tiny, solved):
        solved.write_text(SOLVED.replace("asyncio.sleep(0.01)", "asyncio.sleep(60)"))
        verdict = check_lesson(tiny, file=solved, limits=Limits(seconds=1.5))
        assert verdict.status == "too-busy"
        assert "got no further" in verdict.signs[0].sentence

    def test_what_no_machine_can_do_is_the_files(self, tiny, solved):
        solved.write_text("async def double(:")
        assert check_lesson(tiny, file=solved).status == "not-yet"


def test_services_reach_the_scenes(tiny, solved, monkeypatch):
    @contextmanager
    def service():
        yield "http://127.0.0.1:9"

    monkeypatch.setitem(servers.SERVICES, "echo", service)
    praise = replace(CHECK, praise=lambda judged: str(judged.expect(Doubling).services))
    monkeypatch.setattr(tiny_check, "CHECK", praise)
    verdict = check_lesson(replace(tiny, services=("echo",)), file=solved)
    assert verdict.headline.startswith("{'echo': 'http://127.0.0.1:9'}")


def test_a_process_that_is_left_is_told_without_the_thread_that_asyncio_waits_for_it_with(tmp_path):
    place = {"line": 2, "code": "await create_subprocess_exec(tool)"}
    waiting = {"name": "waitpid-0", "daemon": True, **place}
    left = {"processes": [{"pid": 1, "command": "tool", **place}], "threads": [waiting]}

    def told(left):
        facts = {"leftovers": left}
        return [one.sentence for one in reasons_for_leftovers(facts, tmp_path / "lab.py", "", ())]

    (process,) = told(left)
    assert process.startswith("1 child process still ran")
    own = {**waiting, "name": "Thread-1 (pump)"}
    assert len(told({**left, "threads": [waiting, own]})) == 2


def test_leftovers_that_a_lesson_judges_itself_are_left_to_it(tiny, solved, monkeypatch):
    solved.write_text(
        SOLVED.replace("    return 2", "    asyncio.create_task(asyncio.sleep(60))\n    return 2")
    )
    assert check_lesson(tiny, file=solved).conflicts == ("dropped-task",)
    monkeypatch.setattr(tiny_check, "CHECK", replace(CHECK, leftovers_judged=("tasks",)))
    assert check_lesson(tiny, file=solved).passed


async def test_a_check_works_under_a_running_loop(tiny, solved):
    assert check_lesson(tiny, file=solved).passed


def test_a_save_in_progress_is_waited_for(tiny, solved, monkeypatch):
    whole = solved.read_text()
    parts = [whole[: share * len(whole) // 4] for share in (1, 2, 3, 4)]
    solved.write_text(parts.pop(0))

    def sleep(seconds):  # the editor writes on while the check waits
        if parts:
            solved.write_text(parts.pop(0))
        time.sleep(seconds)

    monkeypatch.setattr(lab_files, "time", SimpleNamespace(**{**vars(time), "sleep": sleep}))
    assert check_lesson(tiny, file=solved).passed
    assert not parts
