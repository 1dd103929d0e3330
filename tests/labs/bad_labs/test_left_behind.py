"""Labs that leave tasks, threads, processes or sessions behind: each is told so, and cleaned up after."""

import os
import sys

import psutil
import pytest

from .conftest import lab, only_reason


def test_leftover_task(judge):
    body = "global kept\nkept = asyncio.create_task(asyncio.sleep(60))\nreturn 2 * number"
    verdict = judge(lab(body))
    assert only_reason(verdict, "1 task").line == 5
    assert verdict.conflicts == ("dropped-task",)


@pytest.mark.parametrize("daemon", [True, False])
def test_leftover_thread(judge, daemon):
    start = f"threading.Thread(target=time.sleep, args=(60,), daemon={daemon}).start()"
    assert only_reason(judge(lab(f"{start}\nreturn 2 * number")), "1 thread").line == 4


def test_call_in_the_default_executor(judge):
    body = (
        "asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)\n"
        "await asyncio.sleep(0)\nreturn 2 * number"
    )
    assert only_reason(judge(lab(body)), "1 call in threads was").line == 4


def test_a_call_that_no_thread_has_begun(judge):
    before = "from concurrent.futures import ThreadPoolExecutor as Pool; own = Pool(1)\n"
    body = (
        "for _ in range(2):\n"
        "    own.submit(time.sleep, 60)\n"  # one thread can have begun one of them at most
        "return 2 * number"
    )
    assert only_reason(judge(lab(body, before)), "2 calls in threads were").line == 6


def test_idle_threads_of_executors_are_fine(judge):
    before = "from concurrent.futures import ThreadPoolExecutor as Pool; own = Pool(3)\n"
    body = (
        "await asyncio.to_thread(int)\n"
        "await asyncio.get_running_loop().run_in_executor(own, int)\nreturn 2 * number"
    )
    assert judge(lab(body, before)).passed


def test_idle_threads_of_other_pools_are_fine(judge):
    body = "await anyio.to_thread.run_sync(int)\nreturn 2 * number"
    assert judge(lab(body, "import anyio.to_thread\n")).passed


@pytest.mark.parametrize(
    "work", ["time.sleep, 60", "__import__('queue').Queue().get"], ids=["sleeps", "waits"]
)
def test_a_thread_of_another_pool_that_works_is_left_behind(judge, work):
    body = (
        f"work = functools.partial({work})\n"
        "with anyio.move_on_after(0.05):\n"
        "    await anyio.to_thread.run_sync(work, abandon_on_cancel=True)\n"
        "return 2 * number"
    )
    verdict = judge(lab(body, "import functools, anyio.to_thread\n"))
    assert only_reason(verdict, "1 thread").line == 7


def test_a_thread_of_the_labs_own_that_waits_for_a_job_is_left_behind(judge):
    body = "threading.Thread(target=__import__('queue').Queue().get, daemon=True).start()"
    assert only_reason(judge(lab(f"{body}\nreturn 2 * number")), "1 thread").line == 4


@pytest.mark.skipif(sys.version_info < (3, 14), reason="InterpreterPoolExecutor came with 3.14")
@pytest.mark.parametrize("works", [False, True])
def test_only_interpreters_at_work_are_left_behind(judge, works):
    before = "from concurrent.futures import InterpreterPoolExecutor as Pool; own = Pool(1)\n"
    body = "await asyncio.get_running_loop().run_in_executor(own, int)\n"
    body += "own.submit(time.sleep, 60)\n" * works + "return 2 * number"
    verdict = judge(lab(body, before))
    if works:
        assert only_reason(verdict, "1 call in threads was").line == 6
    else:
        assert verdict.passed


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_leftover_eager_task(judge):
    body = (
        "asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)\n"
        "global kept\nkept = asyncio.create_task(asyncio.sleep(60))\nreturn 2 * number"
    )
    assert only_reason(judge(lab(body)), "1 task").line == 6


def test_leftover_process(judge):
    body = "global kept\nkept = subprocess.Popen(['sleep', '60'])\nreturn 2 * number"
    reason = only_reason(judge(lab(body)), "1 child process", "sleep")
    assert reason.line == 5


def test_a_process_that_has_ended_is_fine(judge):
    body = (
        "process = await asyncio.create_subprocess_exec('true')\n"
        "await process.wait()\nreturn 2 * number"
    )
    assert judge(lab(body)).passed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_detached_grandchild_without_the_mark(judge):
    name = "4711.0815"
    body = (
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        os.execve('/bin/sleep', ['sleep', '{name}'], {{}})\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "return 2 * number"
    )
    assert "1 child process" in only_reason(judge(lab(body))).sentence
    commands = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", name] not in commands


def test_detached_grandchild_of_a_lab_that_exits(judge):
    body = "subprocess.Popen(['sleep', '60'], start_new_session=True)\nos._exit(1)"
    assert only_reason(judge(lab(body)), "ended the whole process").line == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_does_not_speak_for_the_trial(judge):
    before = "os.fork()\n"
    body = "if os.getpid() != OWN:\n    return 0\nreturn 2 * number"
    assert judge(lab(body, f"OWN = os.getpid(); {before}")).passed


def test_open_session(judge):
    before = "import aiohttp; kept = []\n"
    body = "kept.append(aiohttp.ClientSession())\nreturn 2 * number"
    verdict = judge(lab(body, before))
    assert only_reason(verdict, "1 aiohttp session").line == 5
    assert verdict.conflicts == ("unclosed-resource",)


def test_sessions_that_are_thrown_away_open(judge):
    text = lab(
        "import aiohttp\nfor _ in range(3):\n    aiohttp.ClientSession()\nreturn 2 * number", ""
    )
    reason = only_reason(judge(text), "3 unclosed objects", "Unclosed client session")
    assert (reason.conflict, reason.line) == ("unclosed-resource", 6)


def test_an_error_of_a_task_that_nobody_awaited(judge):
    text = lab(
        "async def fails():\n    raise KeyError('gone')\n"
        "asyncio.create_task(fails())\nawait asyncio.sleep(0.01)\nreturn 2 * number"
    )
    reason = only_reason(judge(text), "1 unseen error", "KeyError: 'gone'")
    assert (reason.conflict, reason.line) == ("dropped-task", 5)
