from loopclinic.lessons.opinions import slow_callback


def test_debug_modes_line_is_told_without_where_python_lies():
    line = (
        "asyncio: Executing <Task pending name='Task-2' coro=<Audits.run() running at /a/b.py:74> "
        "wait_for=<Future pending cb=[Task.task_wakeup()] created at /c/d.py:427> "
        "cb=[gather.<locals>.done() at /c/e.py:764] created at /c/e.py:680> took 0.114 seconds"
    )
    assert slow_callback(line) == "Executing <Task 'Task-2' Audits.run() …> took 0.114 seconds"
