"""What other tools say: debug mode's line in short, the linter's remarks by the cell's own lines."""

import time

from loopclinic.lessons.story.other_tools import DebugRun, debug_run, linter, opinions

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
    assert found.cpu_graph("all").says == "25.0% of a core, for 2.0 s"


async def test_the_linter_counts_lines_as_the_cell_does():
    async def sleeps():
        time.sleep(1)

    found = await linter(sleeps, "a direct call", "-")
    assert found.says.startswith("line 2: ASYNC251")
    assert "ruff, your cell: It answers line 2" in str(opinions(found))


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
