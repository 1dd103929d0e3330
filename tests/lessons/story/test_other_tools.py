"""What other tools say: debug mode's line in short, the linter's remarks by the cell's own lines."""

import asyncio
import subprocess
import time

from loopclinic.lessons.story.other_tools import (
    DebugRun,
    debug_run,
    linter,
    of_scope,
    opinions,
    scanned,
)
from loopclinic.probe import Stall

LINE = (
    "Executing <Task pending name='Task-2' coro=<Audits.run() running at /a/b.py:74> "
    "wait_for=<Future pending cb=[Task.task_wakeup()] created at /c/d.py:427> "
    "cb=[gather.<locals>.done() at /c/e.py:764] created at /c/e.py:680> took 0.114 seconds"
)


def test_debug_modes_line_is_told_without_where_python_lies():
    found = DebugRun(None, 2.0, 0.5, ["something else", LINE], "")
    says = found.debug_mode("the task", "the line").says
    assert says == "Executing <Task 'Task-2' Audits.run() …> took 0.114 seconds"
    silent = found._replace(logged=[]).debug_mode("the task", "the line")
    assert (silent.says, silent.sees) == ("nothing", "-")


def test_a_cpu_graph_shows_an_idle_service_only_where_the_processor_was_idle():
    graphs = [DebugRun(None, 2.0, cpu, [], "").cpu_graph("all") for cpu in (0.1, 1.9)]
    assert [one.says for one in graphs] == [f"{n}.0% of a core, for 2.0 s" for n in (5, 95)]
    assert [one.sees for one in graphs] == ["an idle service", "a busy service"]


async def test_linter_and_scanner_count_lines_as_the_cell_does_and_in_its_order():
    async def sleeps():
        asyncio.get_running_loop()
        subprocess.run(["true"], check=False)
        time.sleep(1)

    first = sleeps.__code__.co_firstlineno  # of this file, as a cell's would be of the cell
    found = await linter(sleeps, "a direct call", "-")
    ruled = [line.split()[:3] for line in found.says.splitlines()]
    assert ruled == [["line", f"{first + 2}:", "ASYNC221"], ["line", f"{first + 3}:", "ASYNC251"]]
    assert f"ruff, your cell: It answers line {first + 2}" in str(opinions(found))
    scanner = await scanned(sleeps, "calls that block", "-")
    assert scanner.says.splitlines() == [
        f"line {first + 2}: blocking-subprocess",
        f"line {first + 3}: blocking-sleep",
    ]


def test_the_scope_sees_no_line_in_a_burst():
    burst = of_scope(Stall(0.0, 0.1, callbacks=10, burst=True, first_seen=0.03), "-")
    line = of_scope(Stall(0.0, 0.1, "a.py", 3, "run", "work()"), "-")
    assert (burst.says, burst.sees) == (
        "10 callbacks",
        "a burst of short steps, while it lasts: after 30 ms",
    )
    assert (line.says, line.sees) == ("a.py:3  work()", "the line, while it lasts")


def test_the_first_frame_is_the_one_in_the_file_that_is_asked_for():
    dump = '  File "/a/lib.py", line 3 in wait\n  File "/b/lab.py", line 7 in run\n'
    found = DebugRun(None, 1.0, 0.0, [], dump)
    assert found.stack_dump("-").says == "lib.py:3 in wait"
    assert found.stack_dump("-", "lab.py").says == "lab.py:7 in run"
    assert found.stack_dump("-", "none.py").says == "no frame"


async def hang(text):
    """Stop the loop for good."""
    del text
    time.sleep(60)


async def test_what_hangs_is_ended_and_told_with_its_line():
    found = await debug_run(hang, dump_after=0.2, end_after=0.5, text="it")
    assert found.value is None
    assert 0.5 <= found.seconds < 30
    assert found.stack_dump("-", "test_other_tools.py").says.endswith(" in hang")
