"""What a finding weighs, what calls the function it stands in, and what is shown by default."""

import json

import pytest

from loopclinic.cli.main import main
from loopclinic.scanner.contexts import of_path
from loopclinic.scanner.options import Settings
from loopclinic.scanner.scanning import scan_path


def scanned(folder, **files):
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return scan_path(folder, Settings(), jobs=1).findings


def test_the_leaf_is_the_heaviest_call_that_can_be_reached(tmp_path):
    (found,) = scanned(
        tmp_path,
        app=(
            "import os, subprocess\n"
            "def build(name):\n"
            "    if os.path.exists(name):\n        return open(name).read()\n"
            "    return compiled(name)\n"
            "def compiled(name):\n    subprocess.run(['make', name])\n"
            "async def page(name):\n    return build(name)\n"
        ),
    )
    assert (found.kind, found.leaf) == ("blocking-subprocess", ("app.py", 7, "subprocess.run"))
    assert [frame.line for frame in found.chain] == [9, 5, 7]
    assert found.weight == "heavy"


def test_a_heavier_call_that_is_only_a_hint_hides_no_surer_one(tmp_path):
    (found,) = scanned(
        tmp_path,
        app=(
            "import functools, requests\n"
            "@functools.cache\ndef keys():\n    return requests.get('https://x')\n"
            "def read(name):\n    keys()\n    return open(name).read()\n"
            "async def page(name):\n    return read(name)\n"
        ),
    )
    assert (found.kind, found.confidence) == ("blocking-file-io", "certain")


@pytest.mark.parametrize(
    ("call", "weight"),
    [
        ("os.path.exists(name)", "light"),
        ("os.stat(name)", "light"),
        ("os.remove(name)", "light"),
        ("pathlib.Path(name).is_file()", "light"),
        ("pathlib.Path(name).mkdir()", "light"),
        ("open(name)", "medium"),
        ("pathlib.Path(name).read_text()", "medium"),
        ("shutil.copy(name, 'x')", "medium"),
        ("shutil.rmtree(name)", "heavy"),
        ("subprocess.run(name)", "heavy"),
        ("urllib.request.urlopen(name)", "heavy"),
        ("hashlib.scrypt(name, salt=name, n=2, r=8, p=1)", "heavy"),
        ("threading.Event().wait()", "heavy"),
    ],
)
def test_what_a_call_weighs(tmp_path, call, weight):
    head = "import hashlib, os, pathlib, shutil, subprocess, threading, urllib.request\n"
    (found,) = scanned(tmp_path, app=f"{head}async def page(name):\n    {call}\n")
    assert found.weight == weight


ENTRIES = {
    "fastapi": ("@router.post('/orders/{number}')\nasync def order(number):", "request POST /orders/{number}"),
    "flask": ("@app.route('/orders', methods=['PUT'])\nasync def order(number):", "request PUT /orders"),
    "websocket": ("@app.websocket('/live')\nasync def live(socket):", "request WebSocket /live"),
    "middleware": ("@app.middleware('http')\nasync def timed(request, call_next):", "request timed"),
    "aiohttp": ("async def order(request):", "request order"),
    "discord": ("@commands.hybrid_command()\nasync def kick(ctx):", "bot kick"),
    "discord events": ("@bot.event\nasync def on_ready():", "bot on_ready"),
    "telegram": ("async def begin(update, context):", "bot begin"),
    "tasks": ("@tasks.loop(seconds=5)\nasync def poll():", "worker poll"),
    "start": ("@app.on_event('startup')\nasync def load():", "start load"),
    "lifespan": ("async def lifespan(app):", "start lifespan"),
    "stop": ("@app.on_event('shutdown')\nasync def end():", "stop end"),
    "a tool": ("@click.command()\nasync def serve():", "command serve"),
    "a client's get is no route": ("@cached.get('orders')\nasync def order():", ""),
    "nothing known": ("async def order(number):", ""),
}  # fmt: skip


@pytest.mark.parametrize("what", ENTRIES)
def test_what_calls_a_function_from_outside(tmp_path, what):
    head, called = ENTRIES[what]
    (found,) = scanned(tmp_path, app=f"import time\n{head}\n    time.sleep(1)\n")
    assert found.called_by == called
    assert found.weight == ("light" if called[:5] in ("start", "stop ", "comma") else "heavy")


def test_routes_that_are_registered_by_a_call(tmp_path):
    found = scanned(
        tmp_path,
        app=(
            "import time\nfrom handlers import order, live\nasync def x():\n    pass\n"
            "def routes(app):\n"
            "    app.router.add_post('/orders', order)\n"
            "    app.add_route('/live', live)\n"
        ),
        handlers=(
            "import time\nasync def order(x):\n    time.sleep(1)\n"
            "async def live(x):\n    time.sleep(1)\n"
        ),
    )
    assert [one.called_by for one in found] == ["request POST /orders", "request /live"]


def test_what_a_request_reaches_is_named_after_it_and_stands_first(tmp_path):
    found = scanned(
        tmp_path,
        a=(
            "import time\n"
            "async def unknown():\n    time.sleep(1)\n"
            "async def paid(number):\n    await booked(number)\n"
            "async def booked(number):\n    time.sleep(1)\n"
        ),
        b="from a import paid\n@app.get('/pay')\nasync def pay():\n    await paid(1)\n",
    )
    assert [(one.line, one.called_by) for one in found] == [(7, "request GET /pay"), (3, "")]


def test_a_coroutine_that_goes_round_is_a_worker(tmp_path):
    found = scanned(
        tmp_path,
        a=(
            "import asyncio, time\n"
            "async def drain(queue):\n    while True:\n        await queue.get()\n        time.sleep(1)\n"
            "async def counted(queue):\n    n = 0\n    while n < 3:\n        await queue.get()\n"
            "        n += 1\n        time.sleep(1)\n"
        ),
    )
    assert [one.called_by for one in found] == ["worker drain", ""]


def test_what_only_the_start_calls_runs_once(tmp_path):
    found = scanned(
        tmp_path,
        a=(
            "import time\n"
            "async def lifespan(app):\n    await load()\n    await shared()\n"
            "async def load():\n    time.sleep(1)\n"
            "async def shared():\n    time.sleep(1)\n"
            "async def reload():\n    await shared()\n"
        ),
    )
    assert [(one.line, one.called_by, one.weight) for one in found] == [
        (8, "", "heavy"),
        (6, "start lifespan", "light"),
    ]


@pytest.mark.parametrize(
    ("line", "weight"),
    [
        ("time.sleep(0.001)", "light"),
        ("time.sleep(0.1)", "heavy"),
        ("time.sleep(delay)", "heavy"),
        ("while delay: time.sleep(0.001)", "heavy"),
    ],
)
def test_a_sleep_that_only_lets_threads_change_weighs_little(tmp_path, line, weight):
    head = "import time\ndef wait(delay):\n    "
    (found,) = scanned(tmp_path, app=f"{head}{line}\nasync def f():\n    wait(1)\n")
    assert found.weight == weight


def test_a_main_that_runs_once_is_one_step_lighter(tmp_path):
    found = scanned(
        tmp_path,
        a=(
            "import asyncio, time\nasync def main():\n    time.sleep(1)\n    open('x')\n"
            "asyncio.run(main())\n"
        ),
    )
    assert [(one.line, one.called_by, one.weight) for one in found] == [
        (3, "once main", "medium"),
        (4, "once main", "light"),
    ]


@pytest.mark.parametrize(
    ("path", "context"),
    [
        ("tests/app.py", "test"),
        ("shop/test_orders.py", "test"),
        ("shop/orders_test.py", "test"),
        ("scripts/load.py", "script"),
        ("tools/load.py", "script"),
        ("shop/tools/load.py", ""),
        ("setup.py", "script"),
        ("shop/cli.py", "command"),
        ("shop/__main__.py", "command"),
        ("shop/management/commands/load.py", "command"),
        ("shop/contest.py", ""),
        ("shop/latest.py", ""),
        ("shop/orders.py", ""),
    ],
)
def test_what_a_place_says_of_a_file(path, context):
    assert of_path(path) == context


def test_what_is_wrong_anywhere_is_no_lighter_in_a_test(tmp_path):
    found = scanned(
        tmp_path,
        tests__test_a="import time\nasync def f():\n    time.sleep(1)\n    f()\n",
    )
    assert {one.kind: one.weight for one in found} == {
        "blocking-sleep": "light",
        "unawaited-coroutine": "heavy",
    }


@pytest.fixture
def mixed(tmp_path):
    (tmp_path / "app.py").write_text(
        "import asyncio, os, time\n"
        "async def page(names):\n"
        "    time.sleep(1)\n"
        "    os.stat('x')\n"
        "    await asyncio.gather(*[page(one) for one in names])\n"
    )
    return tmp_path


def test_text_and_gates_leave_out_hints_and_what_weighs_little_and_say_so(mixed, capsys):
    def told(*more):
        status = main(["scan", str(mixed), "--fail-on", "blocking-file-io,unbounded-gather", *more])
        return status, capsys.readouterr().out

    status, text = told()
    assert status == 0
    assert "blocking-sleep (1)" in text
    assert "blocking-file-io" not in text
    assert "1 hint left out, which --min-confidence hint shows" in text
    assert "1 finding left out that weigh" in text
    assert told("--min-weight", "light")[0] == 1
    assert told("--min-confidence", "hint")[0] == 1
    assert told("--format", "json")[0] == 0
    assert len(json.loads(told("--format", "json")[1])["findings"]) == 3
    assert len(json.loads(told("--format", "sarif")[1])["runs"][0]["results"]) == 1


def test_a_scan_with_only_light_findings_does_not_say_that_there_is_none(tmp_path, capsys):
    (tmp_path / "app.py").write_text("import os\nasync def page():\n    os.stat('x')\n")
    assert main(["scan", str(tmp_path)]) == 0
    assert "No conflict of weight found" in capsys.readouterr().out


def test_the_project_may_say_what_is_shown(mixed, capsys):
    (mixed / "pyproject.toml").write_text('[tool.loopclinic.scan]\nmin-weight = "light"\n')
    main(["scan", str(mixed)])
    assert "blocking-file-io (1)" in capsys.readouterr().out
    (mixed / "pyproject.toml").write_text('[tool.loopclinic.scan]\nmin-weight = "tiny"\n')
    assert main(["scan", str(mixed)]) == 2
    assert "use light, medium, heavy" in capsys.readouterr().err


def test_lines_that_lead_to_one_call_stand_under_it(tmp_path, capsys):
    (tmp_path / "app.py").write_text(
        "import time\ndef wait():\n    time.sleep(1)\n"
        + "".join(f"async def f{number}():\n    wait()\n" for number in range(3))
    )
    main(["scan", str(tmp_path)])
    text = capsys.readouterr().out
    assert text.count("leads to time.sleep") == 1
    assert "2 more lines to app.py:3:" in text
