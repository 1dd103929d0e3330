"""`loopclinic.compare`: interleaved rounds, figures, failures, cancellation."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from loopclinic.import_path import LoadError
from loopclinic.load.comparison import Comparison
from loopclinic.load.interleave import compare
from loopclinic.load.own_loop import drive
from loopclinic.load.progress_line import Progress
from loopclinic.load.request_schedule import Load
from loopclinic.load.variant import Variant
from tests.threads import threads_left, threads_now

SHORT = Load(rate=40, seconds=0.4, arrivals="uniform")
quietly = partial(compare, progress=False, warmup=0.2)


async def asleep(request):
    import asyncio

    await asyncio.sleep(0.03)


async def blocked(request):
    time.sleep(0.06)  # 40 a second: far busier than one loop can bear, however busy the machine


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return quietly(blocked, asleep, load=SHORT, rounds=3, bound=0.03)


@pytest.mark.alone
@pytest.mark.prove
def test_a_blocking_variant_differs_from_an_async_one(comparison):
    assert comparison.variants == ("blocked", "asleep")
    assert [len(runs) for runs in comparison.rounds] == [3, 3]
    assert all(run.answered == run.sent == 16 for runs in comparison.rounds for run in runs)
    slowest = comparison.difference("max", "blocked", "asleep")
    assert slowest.found is True
    assert slowest.mean > comparison.median("max", "asleep")
    assert comparison.median("utilization", "asleep") < 0.5 * comparison.median(
        "utilization", "blocked"
    )
    line = blocked.__code__.co_firstlineno + 1
    said = f"blocked stalls its loop .* of the time at .*test_compare.py:{line}; its slowest request takes"
    assert re.match(said, comparison.headline)
    assert comparison.median("threads", "asleep") == 0
    assert comparison["blocked"][0].stalls[0].file == __file__


@pytest.mark.alone
def test_every_form_of_the_result_names_every_variant(comparison):
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(comparison.table())
    forms = [
        str(comparison),
        comparison._repr_html_(),
        comparison.to_json(),
        console.export_text(),
    ]
    for form in forms:
        assert "blocked" in form
        assert "asleep" in form
    assert "<script" not in forms[1]
    again = Comparison.from_dict(json.loads(comparison.to_json()))
    assert again == comparison


@pytest.mark.alone
def test_an_unknown_figure_or_variant_is_refused_with_those_there_are(comparison):
    with pytest.raises(KeyError, match="throughput"):
        comparison.median("p98", "blocked")
    with pytest.raises(KeyError, match="blocked, asleep"):
        comparison.median("p99", "sleepy")


@pytest.mark.alone
def test_plots_say_in_words_what_they_show(comparison, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # another test's
    assert "bound: 30.0 ms" in str(comparison.plot("latency"))
    assert "asleep: no stall" in str(comparison.plot("lag"))
    for kind in ("slowest", "latency", "lag"):
        assert "aria-label" in comparison.plot(kind).html
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.prove
def test_variants_of_one_name_are_told_apart():
    found = quietly(asleep, asleep, load=Load(jobs=3), rounds=1)
    assert found.variants == ("asleep", "asleep (2)")
    assert found.difference("p50").found is None
    assert found.median("makespan", "asleep") >= 0.03


def closures():
    import asyncio

    lock, numbers, loop = asyncio.Lock(), [1, 2], asyncio.new_event_loop()
    session = threading.Lock()

    def helper():
        return session

    async def takes_lock(request):
        async with lock:
            return numbers

    async def takes_loop(request):
        return loop

    async def takes_helper(request):
        return helper()

    async def fine(request):
        return numbers

    loop.close()
    return takes_lock, takes_loop, takes_helper, fine


def as_typed_in_a_notebook(function):
    """Make a function travel by value, as one of `__main__` does."""
    function.__module__ = "__main__"
    for cell in function.__closure__ or ():
        if hasattr(cell.cell_contents, "__code__"):
            cell.cell_contents.__module__ = "__main__"
    return function


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (0, r"takes_lock\(\) uses 'lock', a lock of this process"),
        (1, r"takes_loop\(\) uses 'loop', an event loop of this process"),
        (2, r"helper\(\) uses 'session', a lock"),
    ],
)
def test_what_lives_in_this_process_only_is_refused_by_name_before_anything_starts(which, words):
    before = children()
    variant = as_typed_in_a_notebook(closures()[which])
    with pytest.raises(LoadError, match=words) as caught:
        quietly(asleep, variant, load=SHORT)
    assert "request.state" in str(caught.value)
    assert children() == before


def test_a_closure_travels_with_its_values():
    found = quietly(as_typed_in_a_notebook(closures()[3]), load=Load(jobs=2), rounds=1)
    assert found.rounds[0][0].answered == 2


def test_a_lab_loaded_by_its_path_travels_by_value(tmp_path):
    from importlib.util import module_from_spec, spec_from_file_location

    file = tmp_path / "01_lab.py"
    file.write_text(
        "DELAY = 0\nclass Answer:\n    text = 'hello'\n"
        "async def handler(request):\n    return Answer().text\n"
    )
    spec = spec_from_file_location("lab_01", file)
    sys.modules["lab_01"] = module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        file.unlink()  # so only by value
        found = quietly(module.handler, load=Load(jobs=2), rounds=1)
    finally:
        del sys.modules["lab_01"]
    assert found.rounds[0][0].answered == 2


FAULTS = {
    "does not start": ("raise ValueError('no luck')\nasync def handler(r): pass", "no luck"),
    "runs a loop as it is imported": (
        "import asyncio\nasyncio.run(asyncio.sleep(0))\nasync def handler(r): pass",
        "did not start: .*put that under 'if __name__",
    ),
    "dies": ("import os\nasync def handler(r): os._exit(3)", "died under load.*exit status 3"),
    "fails": (
        "async def handler(r): raise LookupError('nothing here')",
        "none of 24.*nothing here",
    ),
    "hangs": ("import time\nasync def handler(r): time.sleep(60)", r"stuck at lab\.py:2"),
}


@pytest.mark.prove
@pytest.mark.parametrize("fault", FAULTS)
def test_a_variant_that_cannot_be_measured_says_why_and_leaves_nothing(fault, tmp_path):
    source, words = FAULTS[fault]
    (tmp_path / "lab.py").write_text(source)
    before, threads = children(), threads_now()
    load = Load(rate=40, seconds=0.6, arrivals="uniform", timeout=0.8)
    with pytest.raises(LoadError, match=words):
        quietly(asleep, f"{tmp_path / 'lab.py'}:handler", load=load, rounds=1, warmup=0)
    assert children() == before
    assert threads_left(threads) == []


@pytest.mark.prove
def test_a_server_that_overran_starts_anew(tmp_path):
    (tmp_path / "lab.py").write_text(
        "import time\nasync def handler(r):\n    time.sleep(0.0 if r.number else 1.2)"
    )
    load = Load(rate=10, seconds=0.5, arrivals="uniform", timeout=1.0)
    found = quietly(f"{tmp_path / 'lab.py'}:handler", load=load, rounds=2, warmup=0)
    for run in found.rounds[0]:
        assert 0 < run.errors["timeout"] < run.sent


SCRIPT = """
    import sys, time
    from loopclinic.load.interleave import compare
    from loopclinic.load.request_schedule import Load
    from loopclinic.load.variant import Variant
    from contextlib import asynccontextmanager
    from pathlib import Path

    FOLDER = Path(sys.argv[1])

    @asynccontextmanager
    async def setup():
        mark = FOLDER / "open"
        mark.touch()
        yield
        mark.unlink()

    async def handler(request):
        return None

    if __name__ == "__main__":
        print("go", flush=True)
        try:
            compare(Variant(handler, setup=setup), load=Load(rate=20, seconds=60), warmup=0)
        except KeyboardInterrupt:
            import psutil
            print("interrupted", len(psutil.Process().children(recursive=True)), flush=True)
"""


@pytest.mark.prove
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_comparison_ends_its_processes_and_leaves_the_setup(how, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        deadline = time.monotonic() + 20
        program, started = psutil.Process(parent.pid), []
        while (len(started), (tmp_path / "open").exists()) != (2, True):
            assert time.monotonic() < deadline
            time.sleep(0.02)
            started = program.children(recursive=True)
        time.sleep(0.5)
        parent.send_signal(how)
        out, err = parent.communicate(timeout=10)
    gone, alive = psutil.wait_procs(started, timeout=5)
    assert not alive
    assert len(gone) == 2
    assert not (tmp_path / "open").exists()
    if how == signal.SIGINT:
        assert out.split() == [b"go", b"interrupted", b"0"]
        assert b"Traceback" not in err


@pytest.mark.prove
async def test_a_comparison_may_run_beside_a_loop_that_is_driven():
    async def calm(request):
        return None

    assert (await drive(calm, Load(jobs=2))).answered == 2
    assert quietly(Variant(asleep, name="a"), load=Load(jobs=2), rounds=1).variants == ("a",)


def test_progress_is_a_line_in_a_log_not_a_flood(capsys):
    compare(asleep, load=Load(jobs=2), rounds=3, warmup=0)
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_the_last_words_of_an_interrupted_comparison_say_so(error, capsys):
    with suppress(error), Progress(shown=True) as progress:
        progress.say("Round 1 of 3")
        raise error
    assert capsys.readouterr().err == "Interrupted: no figures were kept.\n"
