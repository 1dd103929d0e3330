"""`loopclinic run`: the program behaves as under plain Python, and its loops are reported."""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import zipfile

import pytest

from loopclinic.cli import run as cli_run
from loopclinic.cli.main import main
from loopclinic.runner import program
from tests.runner.conftest import STALLS, command, line_of

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals")

SELF_PORTRAIT = """
import asyncio, json, os, sys

async def main():
    pass

if __name__ == "__main__":
    asyncio.run(main())
    spec = globals().get("__spec__")
    print(json.dumps([
        sys.argv, __name__, __file__, __package__, spec and spec.name, sys.path, os.getcwd(),
        {name: value for name, value in os.environ.items() if name not in ("_", "OLDPWD")},
        sys.flags.dev_mode, sys.warnoptions, sys.stdin.read(),
    ]))
"""


@pytest.mark.parametrize("kind", ["file", "elsewhere", "module", "folder", "zip"])
@pytest.mark.rows(2)
def test_the_program_sees_what_python_would_show_it(tmp_path, kind):
    package = tmp_path / "package"
    package.mkdir()
    for path in (tmp_path / "program.py", package / "__init__.py", package / "__main__.py"):
        path.write_text("" if path.name == "__init__.py" else SELF_PORTRAIT, "utf-8")
    with zipfile.ZipFile(tmp_path / "program.pyz", "w") as archive:
        archive.writestr("__main__.py", SELF_PORTRAIT)
    target, cwd = {
        "file": (["program.py"], tmp_path),
        "elsewhere": ([str(tmp_path / "program.py")], package),
        "module": (["-m", "package"], tmp_path),
        "folder": (["package"], tmp_path),
        "zip": (["program.pyz"], tmp_path),
    }[kind]
    arguments = ["-m", "--json", "x", "--", "--threshold", "y z"]
    plain, alone, default = (
        subprocess.run(
            [*line, *target, *arguments],
            cwd=cwd,
            input="typed",
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for line in ([sys.executable], command("--no-children"), command())
    )
    assert plain
    assert alone == plain
    # Where its children are watched, too, the environment is the one thing that shows us.
    without, ours = json.loads(plain), json.loads(default)
    assert "LOOPCLINIC_RUN" in ours[7]
    assert ours[7].pop("PYTHONPATH").endswith(without[7].pop("PYTHONPATH", ""))
    del ours[7]["LOOPCLINIC_RUN"]
    assert ours == without


def test_a_stall_is_reported_with_its_line_and_the_lesson(watched):
    source = STALLS + "asyncio.run(main())\nprint('its own')\n"
    done = watched(source)
    assert (done.status, done.out) == (0, "its own\n")
    (loop,) = done.review["loops"]
    stall = max(loop["stalls"], key=lambda one: one["seconds"])
    assert stall["seconds"] >= 0.3
    assert (stall["line"], stall["conflict"]) == (line_of(source), "blocking-sleep")
    place = done.review["places"][0]
    assert place["where"] == f"program.py:{line_of(source)}"
    assert place["lesson"] == "01"
    assert 0.3 <= loop["lag"]["max"] <= loop["seconds"]
    assert loop["series"]
    assert done.review["ending"] == {
        "status": 0,
        "orderly": True,
        "sentence": "ended with status 0",
    }
    live, _, report = done.err.partition("\n\n")
    assert f"at program.py:{line_of(source)}  time.sleep(0.3)" in live
    assert "lesson 01" in report


REASONS = {
    "an import": ("", "import slow  # the line", "blocking-file-io", "An import held the loop"),
    "a collection that was asked for": (
        "web = [[[]] for _ in range(1_000_000)]",
        "gc.collect()  # the line",
        "cpu-bound",
        "called for by gc.collect()",
    ),
    "a collection that nobody asked for": (
        "gc.disable(); web = [[[]] for _ in range(1_000_000)]",
        "gc.set_threshold(1000, 0, 0); gc.enable(); found = [[] for _ in range(2000)]  # the line",
        None,
        "set off by what this line allocates",
    ),
    "what is not known": (
        "held = threading.Thread(target=ctypes.PyDLL(None).usleep, args=(400_000,))",
        "held.start(); await asyncio.sleep(0.1); held.join()",
        None,
        "Another thread kept the GIL",
    ),
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            name,
            marks=[
                pytest.mark.alone(wakes=True),
                pytest.mark.skipif(sys.platform != "linux", reason="its scheduler tells"),
            ]
            if name == "what is not known"
            else [],
        )
        for name in REASONS
    ],
)
@pytest.mark.rows(2)
def test_the_reason_of_a_stall_is_what_the_line_does_or_is_not_known(watched, tmp_path, what):
    before, slow, conflict, words = REASONS[what]
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(0.3)\n", "utf-8")
    source = f"""
import asyncio, ctypes, gc, threading
{before}

async def main():
    await asyncio.sleep(0.2)
    {slow}
    await asyncio.sleep(0.05)

asyncio.run(main())
"""
    known = "# the line" in source
    done = watched(source, options=("--threshold", "0.02") if known else ("--no-witness",))
    stall = max(done.review["loops"][0]["stalls"], key=lambda one: one["seconds"])
    assert stall["conflict"] == conflict
    assert not known or stall["line"] == line_of(source)
    assert words in stall["diagnosis"]


LOOPS = {
    "several": (3, "for _ in range(3): asyncio.run(main())"),
    "runner": (1, "with asyncio.Runner() as runner: runner.run(main()); runner.run(main())"),
    "made by hand": (
        1,
        """
loop = asyncio.new_event_loop()
loop.create_task(main()).add_done_callback(lambda _: loop.stop())
loop.run_forever()
""",
    ),
    "never closed": (1, "asyncio.new_event_loop().run_until_complete(main())"),
    "made and not run": (0, "asyncio.new_event_loop().close()"),
    "in threads": (
        2,
        """
import threading
threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
[one.start() for one in threads]
[one.join() for one in threads]
""",
    ),
    "in a thread that outlives the program": (
        1,
        """
import threading
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
asyncio.run_coroutine_threadsafe(main(), loop).result()
""",
    ),
    "uvloop": (1, "import uvloop; uvloop.run(main())"),
    **{
        f"nested by {patch}": (
            2,
            f"""
import {patch}
async def outer():
    asyncio.new_event_loop().run_until_complete(main())  # nested
loop = asyncio.new_event_loop()
{patch}.apply(loop)
loop.run_until_complete(outer())
""",
        )
        for patch in ("nest_asyncio", "nest_asyncio2")
    },
}


@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.rows(3)
def test_every_loop_that_runs_is_watched(watched, kind):
    if kind == "uvloop":
        pytest.importorskip("uvloop")
    count, tail = LOOPS[kind]
    source = STALLS + tail + "\nprint('done')\n"
    done = watched(source, options=["--quiet"])
    assert (done.status, done.out) == (0, "done\n"), done.err
    assert len(done.review["loops"]) == count, done.err
    lines = {line_of(source)}
    if kind.startswith("nested"):
        lines.add(line_of(source, "# nested"))
    for loop in done.review["loops"]:
        assert loop["unwatched"] is None
        assert loop["lag"]["max"] >= 0.29
        assert any(stall["line"] in lines for stall in loop["stalls"])


SERVED = """
import asyncio, os, signal, time

def end_soon():
    time.sleep(0.3)  # the line
    asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGTERM)
"""
UVICORN = (
    SERVED
    + """
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    end_soon()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("shut down", flush=True)
    await send({"type": "lifespan.shutdown.complete"})
"""
)
AIOHTTP = (
    SERVED
    + """
from aiohttp import web

async def started(app):
    end_soon()

async def ended(app):
    print("shut down")

def make(argv):
    app = web.Application()
    app.on_startup.append(started)
    app.on_cleanup.append(ended)
    return app
"""
)


@pytest.mark.prove
@POSIX
@pytest.mark.parametrize(
    ("source", "target"),
    [
        (UVICORN, ["-m", "uvicorn", "program:app", "--port", "0", "--loop", "asyncio"]),
        (AIOHTTP, ["-m", "aiohttp.web", "-H", "127.0.0.1", "-P", "0", "program:make"]),
    ],
    ids=["uvicorn", "aiohttp"],
)
def test_servers_unchanged(watched, source, target):
    done = watched(source, target=target)
    assert "shut down" in done.out
    assert done.review["ending"]["orderly"] or done.status == -signal.SIGTERM
    # A busy machine has stalls of its own, such as an import.
    places = [place["where"] for place in done.review["places"]]
    assert f"program.py:{line_of(source)}" in places


ENDINGS = {
    "sys.exit(5)": (5, True, "ended with status 5"),
    "raise ValueError('its own')": (1, True, "ended with status 1"),
    "os._exit(7)": (7, False, "was left by os._exit or exec with status 7"),
    "os.execv(sys.executable, [sys.executable, '-c', 'raise SystemExit(4)'])": (
        4,
        False,
        "was left by os._exit or exec with status 4",
    ),
    "os.kill(os.getpid(), signal.SIGKILL)": (-9, False, "was ended by SIGKILL"),
    "os.kill(os.getpid(), signal.SIGSEGV)": (-11, False, "crashed with SIGSEGV"),
    "raise KeyboardInterrupt": (-2, True, "was ended by SIGINT"),
}


@POSIX
@pytest.mark.parametrize("how", ENDINGS)
@pytest.mark.rows(2)
def test_however_it_ends_the_status_is_kept_and_the_stall_reported(watched, how):
    status, orderly, sentence = ENDINGS[how]
    source = (
        "import os, resource, signal, sys\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        + STALLS
        + f"    {how}\nasyncio.run(main())\n"
    )
    done = watched(source)
    assert done.status == status
    assert done.review["ending"]["orderly"] is orderly
    assert sentence in done.err
    assert line_of(source) in [place["line"] for place in done.review["places"]]
    assert done.review["loops"][0]["lag"]["max"] >= 0.29
    assert ("its own" in done.err) == ("its own" in how)


@POSIX
def test_a_program_killed_while_it_is_stuck_is_reported_stuck(watched):
    source = STALLS.replace("0.3", "60").replace(
        "    await asyncio.sleep(0.05)\n",
        "    import os, signal, threading\n    await asyncio.sleep(0.05)\n"
        "    threading.Timer(0.6, os.kill, [os.getpid(), signal.SIGKILL]).start()\n",
    )
    done = watched(source + "asyncio.run(main())\n")
    assert done.status == -signal.SIGKILL
    assert done.review["places"][0]["line"] == line_of(source)
    assert "it was stuck there at the end" in done.err


STARTS = {
    "fork": "multiprocessing.get_context('fork').Process(target=work)",
    "spawn": "multiprocessing.get_context('spawn').Process(target=work)",
    "forkserver": "multiprocessing.get_context('forkserver').Process(target=work)",
    "subprocess": "subprocess.Popen([sys.executable, __file__, 'work'])",
    "os.fork": None,
}
STARTING = """
import multiprocessing, os, subprocess, sys

def work():
    asyncio.run(main())

if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        work()
    elif sys.argv[1] == "os.fork":
        if os.fork() == 0:
            work()
            os._exit(0)
        os.wait()
    else:
        child = eval(sys.argv[1])
        if isinstance(child, subprocess.Popen):
            child.wait()
        else:
            child.start()
            child.join()
    if sys.argv[1:] != ["work"]:
        asyncio.run(asyncio.sleep(0.1))
"""


@POSIX
@pytest.mark.parametrize("how", [*STARTS, "off"])
@pytest.mark.rows(2)
def test_the_pythons_that_it_starts_are_watched_unless_switched_off(watched, how):
    source = STALLS + STARTING
    options = ["--no-children"] if how == "off" else []
    done = watched(source, STARTS.get(how) or "os.fork", options=options)
    assert done.status == 0, done.err
    own, *others = sorted(done.review["loops"], key=lambda loop: loop["process"] is not None)
    assert own["process"] is None
    assert own["stalls"] == []
    assert len(others) == (how != "off")
    for loop in others:
        assert loop["lag"]["max"] >= 0.29
        assert line_of(source) in [stall["line"] for stall in loop["stalls"]]
        assert f"process {loop['process']} (" in done.err


ALONE = {
    "[sys.executable, '-Ic', 'import time; time.sleep(1.5)']": "it was started with -Ic",
    "[sys.executable, '-c', 'import time; time.sleep(1.5)'], env={}": "an environment of its own",
}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("what", ALONE)
def test_a_python_that_can_not_be_watched_is_named(watched, what):
    done = watched(
        f"import asyncio, subprocess, sys\nsubprocess.run({what})\nasyncio.run(asyncio.sleep(0.1))\n"
    )
    (unwatched,) = done.review["unwatched"]
    assert ALONE[what] in unwatched
    assert done.review["headline"].startswith(
        "No stall over 50.0 ms was seen in the loop that could"
    )
    assert unwatched in done.err


@pytest.mark.alone  # the queue is looked at by the clock, and for as long as that is late it is not known
def test_calls_that_queue_for_a_thread_are_told_though_nothing_stalls(watched):
    source = """
import asyncio, time
from concurrent.futures import ThreadPoolExecutor

async def main():
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.4) for _ in range(8)))

asyncio.run(main())
"""
    done = watched(source, options=["--threshold", "5"])  # a busy machine makes short stalls
    (loop,) = done.review["loops"]
    queue = loop["queues"]["queued"]
    assert queue["most"] == 6
    assert 0.6 <= queue["seconds"] <= loop["seconds"]  # 1.2 s but for a look at either end
    assert "But calls waited for a thread of the default executor" in done.review["headline"]


def test_pytest_with_warnings_as_errors(watched, tmp_path):
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\naddopts = -p no:asyncio\n", "utf-8"
    )
    source = STALLS + "def test_stalls():\n    asyncio.run(main())\n"
    done = watched(source, "-q", "program.py", target=["-m", "pytest"])
    assert done.status == 0, done.out + done.err
    assert "1 passed" in done.out
    assert line_of(source) in [place["line"] for place in done.review["places"]]


@POSIX
@pytest.mark.parametrize("how", [">&-", ">/dev/full"])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.rows(2)
def test_a_stream_that_is_closed_or_full_changes_nothing(tmp_path, number, how):
    source = """
import asyncio, json, os, sys

async def main():
    try:
        seen = os.fstat(int(sys.argv[1])).st_rdev
    except OSError as error:
        seen = error.errno
    open("seen", "w").write(json.dumps([seen, os.get_inheritable(0) if seen != 9 else None]))
    return 3

sys.exit(asyncio.run(main()))
"""
    (tmp_path / "program.py").write_text(source, "utf-8")
    seen = []
    for line in ([sys.executable], command()):
        shell = shlex.join([*line, "program.py", str(number)]) + f" {number}{how}"
        status = subprocess.run(
            ["/bin/sh", "-c", shell], cwd=tmp_path, capture_output=True, check=False
        ).returncode
        seen.append((status, (tmp_path / "seen").read_text("utf-8")))
        (tmp_path / "seen").unlink()
    assert seen[0][0] == 3
    assert seen[1] == seen[0]


COUNTING = """
import asyncio, signal, sys
heard = []

async def main():
    for number in sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}):
        signal.signal(number, lambda number, _: heard.append(number))
    print("ready", sys.stdout.isatty(), flush=True)
    while not heard:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.4)
    print("heard", *map(int, heard), flush=True)

asyncio.run(main())
sys.exit(6)
"""
NUMBERS = sorted(
    signal.valid_signals()
    - {
        getattr(signal, name, 0)
        for name in ("SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE")
    }
)
OFTEN = {"SIGINT", "SIGTERM", "SIGWINCH", "SIGALRM", "SIGTSTP", "SIGCHLD"}


def started(tmp_path, source, before=None):
    """Start a program that prints one line when it is ready."""
    (tmp_path / "program.py").write_text(source, "utf-8")
    process = subprocess.Popen(
        command("program.py"),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=before,  # noqa: PLW1509 - no other thread forks here
    )
    assert process.stdout.readline().startswith("ready")
    return process


@POSIX
@pytest.mark.parametrize(
    ("number", "whom"),
    [
        *(
            pytest.param(
                one, "process", marks=[] if getattr(one, "name", "") in OFTEN else pytest.mark.prove
            )
            for one in NUMBERS
        ),
        (signal.SIGINT, "group"),
        (signal.SIGTERM, "group"),
    ],
)
def test_a_signal_reaches_the_program_once(tmp_path, number, whom):
    process = started(tmp_path, COUNTING)
    (os.kill if whom == "process" else os.killpg)(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert out == f"heard {int(number)}\n"
    assert process.returncode == 6
    assert "program.py ended with status 6" in err


@POSIX
def test_a_signal_that_was_ignored_reaches_a_program_that_handles_it(tmp_path):
    process = started(tmp_path, COUNTING, lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == f"heard {int(signal.SIGINT)}\n"


@POSIX
def test_a_signal_that_is_ignored_is_ignored_by_the_program(tmp_path):
    source = "import asyncio\nprint('ready', flush=True)\nasyncio.run(asyncio.sleep(0.8))\nprint('whole')\n"
    process = started(tmp_path, source, lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "whole\n"
    assert process.returncode == 0


@POSIX
def test_a_signal_that_stops_the_program_stops_us_until_both_are_continued(tmp_path):
    source = "import asyncio\nprint('ready', flush=True)\nasyncio.run(asyncio.sleep(1))\n"
    process = started(tmp_path, source)
    process.send_signal(signal.SIGTSTP)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)
    assert process.returncode == 0


@POSIX
def test_a_signal_that_ends_the_program_ends_us_alike_after_the_report(tmp_path):
    source = "import asyncio\nprint('ready', flush=True)\nasyncio.run(asyncio.sleep(60))\n"
    process = started(tmp_path, source)
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert "program.py was ended by SIGTERM" in err


@POSIX
def test_as_process_1_which_no_signal_ends_the_status_is_a_shells(monkeypatch, tmp_path, capsys):
    (tmp_path / "program.py").write_text("", "utf-8")
    ending = program.Ending(-signal.SIGTERM, orderly=False, seconds=1.0)
    monkeypatch.setattr(cli_run, "run_program", lambda *_, **__: ending)
    monkeypatch.setattr(os, "kill", lambda *_: None)
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["run", "--quiet", str(tmp_path / "program.py")]) == 128 + signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "was ended by SIGTERM" in capsys.readouterr().err


@POSIX
def test_the_program_does_not_outlive_who_watches_it(tmp_path):
    (tmp_path / "program.py").write_text(
        "import asyncio\nprint('ready', flush=True)\nasyncio.run(asyncio.sleep(60))\n",
        "utf-8",
    )
    process = subprocess.Popen(
        command("--quiet", "program.py"), cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.kill()
    process.wait()
    ends = select.select([process.stdout], [], [], 20)[0]
    assert ends, "the program holds it open to its own end"
    process.stdout.close()


REFUSED = {
    "nowhere.py": "there is no file 'nowhere.py' here",
    "uvicorn": "to run a module, write loopclinic run -m uvicorn",
    "--html no/such/report.html program.py": "name a file in a folder that exists",
    "--threshold 0 program.py": "not a number of seconds above zero",
    "": "TARGET",
}


@pytest.mark.parametrize("arguments", REFUSED)
@pytest.mark.rows(2)
def test_what_can_not_be_run_is_said_before_anything_runs(watched, arguments):
    done = watched("print('it ran')", target=arguments.split())
    assert (done.status, done.out) == (2, "")
    assert REFUSED[arguments] in done.err
    assert "Traceback" not in done.err


def test_a_module_that_is_not_there_is_told_by_python_itself(watched):
    done = watched("", target=["-m", "nowhere_at_all"])
    assert done.status == 1
    assert "No module named nowhere_at_all" in done.err
    assert "Traceback" not in done.err


def test_a_program_without_a_loop_is_told_so(watched):
    done = watched("print('no loop')")
    assert (done.status, done.out) == (0, "no loop\n")
    assert "No event loop ran in it." in done.err


@pytest.mark.prove
def test_very_many_loops_are_counted_and_named_as_what_they_are(watched):
    done = watched("import asyncio\nfor _ in range(300): asyncio.run(asyncio.sleep(0))\n")
    assert done.status == 0
    assert len(done.review["loops"]) + done.review["more_loops"] == 300
    assert any("loop-per-call" in note for note in done.review["notes"])
    assert done.err.count("\n") < 100, "not a line a loop"


@pytest.mark.prove
def test_many_stalls_do_not_flood_the_terminal(watched):
    source = (
        "import asyncio, time\nasync def main():\n"
        "    for _ in range(60):\n        time.sleep(0.02)\n        await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
    )
    done = watched(source, options=["--threshold", "0.01"])
    assert sum(place["stalls"] for place in done.review["places"]) >= 60
    assert done.err.count("stuck for") < 50
    assert "more stalls" in done.err


def test_the_light_install_will_do(watched, tmp_path):
    """Everything but the standard library and ourselves is kept from both processes."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Light:\n"
        "    def find_spec(self, name, *rest):\n"
        "        top = name.split('.')[0]\n"
        "        if top.startswith('_sysconfigdata') or top in sys.stdlib_module_names:\n"
        "            return\n"
        "        if top not in ('loopclinic', 'sitecustomize'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Light())\n"
        "print('own sitecustomize', flush=True)\n",
        "utf-8",
    )
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    source = STALLS + "try:\n    import rich\nexcept ImportError:\n    asyncio.run(main())\n"
    page = tmp_path / "page.html"
    done = watched(source, options=["--html", page], env=os.environ | {"PYTHONPATH": path})
    assert done.status == 0, done.err
    assert done.out == "own sitecustomize\n" * 2, "the machine's own runs in both, after ours"
    assert done.review["places"][0]["line"] == line_of(source)
    assert "<svg" in page.read_text("utf-8")


def test_a_timeline_of_each_loop_is_written_on_request(watched, tmp_path):
    source = (
        STALLS
        + "async def both():\n    await asyncio.gather(main(), asyncio.create_task(main(), name='mine'))\n"
        "asyncio.run(both())\nasyncio.run(asyncio.sleep(0))\n"
    )
    file = tmp_path / "timeline.json"
    done = watched(source, options=["--timeline", file])
    assert f"written to {file}" in done.err
    events = json.loads(file.read_text("utf-8"))["traceEvents"]
    names = {(one["pid"], one["args"]["name"]) for one in events if one["name"] == "thread_name"}
    assert {(1, "both"), (1, "mine"), (1, "stalls"), (2, "sleep")} <= names
    stalls = [one for one in events if one.get("cat") == "stall"]
    assert len(stalls) == len(done.review["loops"][0]["stalls"])
    assert stalls[0]["ts"] / 1e6 == pytest.approx(
        done.review["loops"][0]["stalls"][0]["started"], abs=0.01
    )


def test_a_scan_of_the_source_says_which_findings_stalled(tmp_path, watched):
    (tmp_path / "store.py").write_text("import time\n\ndef load():\n    time.sleep(0.3)\n")
    source = (
        "import asyncio, time\nfrom store import load\n\nasync def order():\n    load()\n\n"
        "async def other():\n    time.sleep(1)\n\nasync def main():\n    await order()\n\n"
        "asyncio.run(main())\n"
    )
    page = tmp_path / "page.html"
    ran = watched(source, options=("--scan", tmp_path, "--html", page))
    assert ran.status == 0
    first, second = ran.review["scan"]["findings"]
    assert (first["file"], first["line"], first["kind"]) == ("program.py", 5, "blocking-sleep")
    assert first["seen"] == 1
    assert first["kind"] == ran.review["places"][0]["conflict"]
    assert (second["line"], second["seen"]) == (8, 0)
    assert "load() leads to time.sleep at store.py:4" in ran.err
    assert "1 more finding of the scan, at which this run did not stall." in ran.err
    assert "order calls load" in page.read_text("utf-8")
    assert watched(source, options=("--scan", tmp_path / "nowhere")).status == 2
