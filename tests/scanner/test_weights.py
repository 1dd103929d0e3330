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


@pytest.mark.parametrize("hint", ["keys()", "import pandas"])
def test_a_heavier_call_that_is_only_a_hint_hides_no_surer_one(tmp_path, hint):
    (found,) = scanned(
        tmp_path,
        app=(
            "import functools, requests\n"
            "@functools.cache\ndef keys():\n    return requests.get('https://x')\n"
            f"def read(name):\n    {hint}\n    return open(name).read()\n"
            "async def page(name):\n    return read(name)\n"
        ),
    )
    assert (found.kind, found.confidence) == ("blocking-file-io", "certain")
    assert found.leaf[2] == "builtins.open"


@pytest.mark.parametrize(
    ("call", "weight"),
    [
        ("os.path.exists(name)", "light"),
        ("os.stat(name)", "light"),
        ("os.remove(name)", "light"),
        ("pathlib.Path(name).is_file()", "light"),
        ("pathlib.Path(name).mkdir()", "light"),
        ("open(name)", "light"),
        ("pathlib.Path(name).read_text()", "light"),
        ("shutil.copy(name, 'x')", "light"),
        ("logging.FileHandler(name)", "light"),
        ("zipfile.ZipFile(name)", "light"),
        ("subprocess.Popen(name)", "light"),
        ("[open(one) for one in name]", "medium"),
        ("for one in name: pathlib.Path(one).read_text()", "medium"),
        ("for one in name: await one.put(pathlib.Path(one).read_text())", "light"),
        (
            "for one in name:\n        if one:\n            await one.put(open(one))",
            "light",
        ),
        (
            "for one in name:\n        if open(one).read():\n            await one.put()",
            "medium",
        ),
        ("for one in name: subprocess.Popen(one)", "medium"),
        (
            "for one in name:\n        if one.is_file():\n            return open(one)",
            "light",
        ),
        (
            "for one in range(9):\n        if os.access(name, 4):\n            return subprocess.Popen(name)",
            "medium",
        ),
        ("for one in os.walk(name): print(one)", "heavy"),
        ("for one in os.walk(name): await one.put()", "light"),
        ("shutil.move(name, 'x')", "medium"),
        ("shutil.rmtree(name)", "heavy"),
        ("subprocess.run(name)", "heavy"),
        ("urllib.request.urlopen(name)", "heavy"),
        ("hashlib.scrypt(name, salt=name, n=2, r=8, p=1)", "heavy"),
        ("threading.Event().wait()", "heavy"),
    ],
)
def test_what_a_call_weighs(tmp_path, call, weight):
    head = "import hashlib, logging, os, pathlib, shutil, subprocess, threading, urllib.request, zipfile\n"
    (found,) = scanned(tmp_path, app=f"{head}async def page(name):\n    {call}\n")
    assert found.weight == weight


def test_an_archive_weighs_what_is_done_with_it(tmp_path):
    found = scanned(
        tmp_path,
        app=(
            "import zipfile\nasync def page(name, text):\n    with zipfile.ZipFile(name) as rows:\n"
            "        rows.extractall()\n    rows.writestr('a', text)\n    rows.read('a')\n"
        ),
    )
    weights = {one.line: one.weight for one in found}
    assert weights == {3: "light", 4: "heavy", 5: "light", 6: "light"}


def test_a_function_within_another_is_told_by_its_name(tmp_path):
    (found,) = scanned(
        tmp_path,
        app=(
            "import socket\nasync def page(url):\n    def safe():\n"
            "        return socket.getaddrinfo(url, 80)\n    if not safe():\n        return None\n"
        ),
    )
    assert found.message.startswith("safe leads to socket.getaddrinfo")
    assert found.chain[0].call == "safe"


def test_what_a_call_does_is_said_where_its_name_does_not(tmp_path):
    (found,) = scanned(tmp_path, app="import httpx\nasync def page():\n    httpx.AsyncClient()\n")
    assert (
        "blocks the loop (making an HTTP client, which loads certificates from files):"
        in found.message
    )


@pytest.mark.parametrize("decorator", ["@app.post('/files')", "@bot.command()"])
def test_one_file_weighs_more_straight_in_what_many_ask_for(tmp_path, decorator):
    page = f"{decorator}\nasync def page(ctx):\n    {{}}\n"
    head = "def save(ctx):\n    open('x', 'wb').write(ctx.body)\n"
    straight, through = ("open('x', 'wb').write(ctx.body)", "save(ctx)")
    (found,) = scanned(tmp_path, app=head + page.format(straight))
    assert found.weight == "medium"
    (found,) = scanned(tmp_path, app=head + page.format(through))
    assert found.weight == "light"


def test_a_file_that_an_object_keeps_is_read_piece_by_piece(tmp_path):
    (found,) = scanned(
        tmp_path,
        app=(
            "class Stream:\n    def __init__(self, name):\n        self.file = open(name, 'rb')\n"
            "    async def piece(self):\n        return self.file.read(4)\n"
        ),
    )
    assert found.weight == "medium"


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


def test_a_handler_in_the_main_file_of_a_plugin_is_a_handler(tmp_path):
    text = "import time\n@bot.on_cmd('x')\nasync def x(message):\n    time.sleep(1)\nasync def y():\n    time.sleep(1)\n"
    (tmp_path / "__main__.py").write_text(text)
    found = scanned(tmp_path, cli=text)
    assert [(one.file, one.line, one.called_by) for one in found] == [
        ("__main__.py", 4, "bot x"),
        ("__main__.py", 6, "command"),
        ("cli.py", 4, "command"),
        ("cli.py", 6, "command"),
    ]


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
            "async def begun(site):\n    while site.wanted:\n        try:\n            await site.start()\n"
            "            break\n        except OSError:\n            time.sleep(1)\n"
        ),
    )
    assert [one.called_by for one in found] == ["worker drain", "", ""]


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
    ("name", "where", "called"),
    [
        ("demo", "if __name__ == '__main__':\n    ", "script"),
        ("test_all", "if __name__ == '__main__':\n    ", "script"),
        ("demo", "", "once"),
        ("serve", "if __name__ == '__main__':\n    ", "once"),
    ],
)
def test_what_only_tries_a_module_out(tmp_path, name, where, called):
    text = (
        f"import asyncio, shutil\nasync def {name}():\n    await orders()\n"
        f"async def orders():\n    shutil.rmtree('x')\n{where}asyncio.run({name}())\n"
    )
    (found,) = scanned(tmp_path, app=text)
    assert found.called_by == f"{called} {name}"
    assert found.weight == {"script": "light", "once": "medium"}[called]


@pytest.mark.parametrize(
    ("path", "context"),
    [
        ("tests/app.py", "test"),
        ("shop/test_orders.py", "test"),
        ("shop/orders_test.py", "test"),
        ("scripts/load.py", "script"),
        ("shop/mock_bank.py", "test"),
        ("shop/bank_harness.py", "test"),
        ("shop/demo.py", "script"),
        ("shop/orders_example.py", "script"),
        ("shop/core/migration/two_to_three.py", "script"),
        ("shop/democracy.py", ""),
        ("shop/mocking.py", ""),
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


KEPT = {
    "a module's name": "STATE = None\ndef state():\n    global STATE\n    if STATE is None:\n        STATE = load()\n    return STATE\n",
    "an attribute of a class": "class State:\n    one = None\n    @classmethod\n    def get(cls):\n        if not cls.one:\n            cls.one = load()\n        return cls.one\ndef state():\n    return State.get()\n",
    "an attribute that may not be there": "class State:\n    @staticmethod\n    def get():\n        if not hasattr(State, 'one') or State.one is None:\n            State.one = load()\n        return State.one\ndef state():\n    return State.get()\n",
    "an attribute of an object": "class Box:\n    def __init__(self):\n        self.all = []\n    def get(self):\n        if len(self.all) == 0:\n            self.all = load()\n        return self.all\nBOX = Box()\ndef state():\n    return BOX.get()\n",
    "what is there is returned first": "class State:\n    one = None\n    @classmethod\n    def get(cls):\n        if cls.one is not None:\n            return cls.one\n        cls.one = load()\n        return cls.one\ndef state():\n    return State.get()\n",
    "a cached property": "import functools\nclass Box:\n    @functools.cached_property\n    def state(self):\n        return load()\nBOX = Box()\ndef state():\n    return BOX.state\n",
    "a cached function": "import functools\n@functools.lru_cache\ndef state():\n    return load()\n",
}  # fmt: skip
NOT_KEPT = {
    "a name of the function": "def state():\n    one = None\n    if one is None:\n        one = load()\n    return one\n",
    "it runs out": "import time\nclass State:\n    one = None\n    until = 0\n    @classmethod\n    def get(cls):\n        if cls.one is None or cls.until < time.time():\n            cls.one = load()\n        return cls.one\ndef state():\n    return State.get()\n",
    "something else is set": "class State:\n    one = None\n    @classmethod\n    def get(cls):\n        if cls.one is None:\n            two = load()\n            return two\ndef state():\n    return State.get()\n",
    "an attribute of a parameter": "def state(order=None):\n    if order.lines is None:\n        order.lines = load()\n",
}  # fmt: skip
LOAD = "def load():\n    return open('state.json').read()\n"


@pytest.mark.parametrize("how", KEPT)
def test_what_is_made_once_and_kept_is_a_hint(tmp_path, how):
    text = f"{LOAD}{KEPT[how]}async def page():\n    return state()\n"
    (found,) = scanned(tmp_path, app=text)
    assert (found.kind, found.confidence) == ("blocking-file-io", "hint")
    assert found.leaf == ("app.py", 2, "builtins.open")


@pytest.mark.parametrize("how", NOT_KEPT)
def test_what_is_not_kept_is_none(tmp_path, how):
    (found,) = scanned(
        tmp_path, app=f"{LOAD}{NOT_KEPT[how]}async def page():\n    return state()\n"
    )
    assert (found.confidence, found.weight) == ("certain", "light")


@pytest.mark.parametrize(
    ("way", "weights"),
    [
        ("    if name not in KNOWN:\n        KNOWN[name] = {}\n    return KNOWN[name]\n", ("light", "light")),
        ("    if name in KNOWN:\n        return KNOWN[name]\n    KNOWN[name] = {}\n", ("light", "light")),
        ("    KNOWN[name] = {}\n", ("medium", "heavy")),
    ],
)  # fmt: skip
def test_what_is_kept_for_each_key_is_light(tmp_path, way, weights):
    for call, weight in zip(("shutil.move(name)", "requests.get(name)"), weights, strict=True):
        head = "import requests, shutil\nKNOWN = {}\ndef get(name):\n"
        text = f"{head}{way.format(call)}async def page(name):\n    return get(name)\n"
        (found,) = scanned(tmp_path, app=text)
        assert (found.confidence, found.weight) == ("certain", weight)


def test_what_is_kept_hides_nothing_that_happens_each_time(tmp_path):
    (found,) = scanned(
        tmp_path,
        app=(
            "import requests\nclass Keys:\n    known = None\n    def get(self, name):\n"
            "        if self.known is None:\n            self.known = requests.get('https://x')\n"
            "        return open(name).read()\n"
            "async def page(name):\n    return Keys().get(name)\n"
        ),
    )
    assert (found.kind, found.confidence) == ("blocking-file-io", "certain")


def test_what_main_alone_calls_runs_once_as_well(tmp_path):
    found = scanned(
        tmp_path,
        a=(
            "import asyncio, shutil\nasync def main():\n    await load()\n    await shared()\n"
            "async def load():\n    shutil.move('x', 'y')\n"
            "async def shared():\n    shutil.move('x', 'y')\n"
            "async def reload():\n    await shared()\n"
            "asyncio.run(main())\n"
        ),
    )
    assert [(one.line, one.called_by, one.weight) for one in found] == [
        (8, "", "medium"),
        (6, "once main", "light"),
    ]


@pytest.mark.parametrize(
    ("head", "weight"),
    [
        ("async for one in name.chunks():", "light"),
        ("for one in name.chunks():", "medium"),
    ],
)
def test_a_chunk_written_between_two_awaits_is_light(tmp_path, head, weight):
    found = scanned(
        tmp_path,
        app=f"async def save(name):\n    file = open('x', 'wb')\n    {head}\n        file.write(one)\n",
    )
    assert [one.weight for one in found if one.line == 4] == [weight]


@pytest.mark.parametrize(
    ("decorator", "weight"), [("@app.get('/users')", "medium"), ("@cached", "light")]
)
@pytest.mark.parametrize("client", ["httpx.AsyncClient()", "openai.AsyncOpenAI()"])
def test_a_client_for_each_request_weighs_more_than_one_elsewhere(
    tmp_path, decorator, client, weight
):
    found = scanned(
        tmp_path,
        app=(
            f"import fastapi, httpx, openai\napp = fastapi.FastAPI()\n{decorator}\n"
            f"async def users():\n    client = {client}\n    return await client.get('https://x')\n"
        ),
    )
    assert [one.weight for one in found if one.kind == "blocking-file-io"] == [weight]


@pytest.mark.parametrize(
    "program",
    [
        "class Hub(Application):\n    async def initialize(self):\n        await self.init_users()\n",
        *(
            "class Hub:\n    async def launch(self):\n        await self.init_users()\n" + run
            for run in (
                "tornado.ioloop.IOLoop.current().run_sync(Hub().launch)\n",
                "asyncio.run(Hub().launch())\n",
            )
        ),
    ],
)
def test_what_only_a_programs_start_calls_is_light(tmp_path, program):
    head, *body = program.partition("async def ")
    (found,) = scanned(
        tmp_path,
        hub=(
            "import asyncio, requests, tornado\nfrom traitlets.config import Application\n"
            f"{head}async def init_users(self):\n        requests.get('https://x')\n    {''.join(body)}"
        ),
    )
    assert (found.context, found.weight) == ("start", "light")


@pytest.mark.parametrize(
    ("head", "weight"),
    [
        ("@app.get('/price')\ndef price(name):", "medium"),
        (
            "@app.get('/price')\ndef price(name):\n    return now(ask(name))\ndef now(it):",
            "medium",
        ),
        ("def price(name):", "light"),
        ("class Shop:\n  def __del__(self):", "light"),
    ],
)
def test_a_loop_for_one_call_weighs_where_there_are_many_calls(tmp_path, head, weight):
    (found,) = scanned(
        tmp_path,
        app=(
            "import asyncio, fastapi\napp = fastapi.FastAPI()\nasync def ask(name): pass\n"
            f"{head}\n    return asyncio.run(ask(1))\n"
        ),
    )
    assert (found.kind, found.weight) == ("loop-per-call", weight)


def test_a_text_that_a_client_answered_blocks_nobody(tmp_path):
    found = scanned(
        tmp_path,
        app=(
            "import asyncio, docker\nasync def page(name):\n"
            "    box = docker.from_env().containers.get(name)\n"
            "    said = await asyncio.to_thread(box.exec_run, 'ls')\n"
            "    return said.output.decode('utf-8')\n"
        ),
    )
    assert [one.line for one in found] == [3]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("tarfile.open('x').add('y')", "tarfile.TarFile.add"),
        ("zipfile.ZipFile('x').extractall()", "zipfile.ZipFile.extractall"),
        ("transformers.AutoTokenizer.from_pretrained('x')", "transformers.AutoTokenizer."),
        ("anthropic.Anthropic().messages.create()", "anthropic.Anthropic.messages.create"),
        ("platform.architecture()", "platform.architecture"),
        (
            "with concurrent.futures.ProcessPoolExecutor() as pool:\n        pool.submit(print)",
            "concurrent.futures.ProcessPoolExecutor.__exit__",
        ),
    ],
)
def test_what_blocks_is_named_as_it_is_called(tmp_path, line, name):
    head = "import anthropic, concurrent.futures, platform, tarfile, transformers, zipfile"
    found = scanned(tmp_path, app=f"{head}\nasync def page():\n    {line}\n")
    assert found[0].message.startswith(name)


def test_an_executor_whose_work_is_waited_for_keeps_nobody_at_its_end(tmp_path):
    (found,) = scanned(
        tmp_path,
        app=(
            "from concurrent.futures import ThreadPoolExecutor, as_completed\n"
            "async def page(names):\n    with ThreadPoolExecutor() as pool:\n"
            "        for one in as_completed([pool.submit(open, name) for name in names]):\n"
            "            print(one)\n"
        ),
    )
    assert (found.line, found.leaf[2]) == (4, "concurrent.futures.as_completed")


def test_an_import_by_name_weighs_little_since_the_next_one_finds_the_module(tmp_path):
    (found,) = scanned(
        tmp_path, app="import importlib\nasync def f(x):\n    importlib.import_module(x)\n"
    )
    assert found.weight == "light"


def test_results_that_a_script_drops_weigh_less_than_those_of_a_service(tmp_path):
    text = "import asyncio\nasync def f(x):\n    await asyncio.gather(*x, return_exceptions=True)\n"
    found = scanned(tmp_path, scripts__a=text, shop=text)
    assert [(one.file, one.weight) for one in found] == [
        ("shop.py", "medium"),
        ("scripts/a.py", "light"),
    ]


def test_a_function_that_registers_routes_has_no_router(tmp_path):
    head = "import time\nfrom web import add_route\nasync def page(x):\n    time.sleep(1)\n"
    (found,) = scanned(tmp_path, app=f"{head}add_route('/page', page)\n")
    assert found.called_by == "request /page"


ROUTES = {
    "a router's own": (
        {"app": "router = APIRouter(prefix='/orders')\n@router.get('/{id}')\nasync def one():"},
        "request GET /orders/{id}",
    ),
    "a router's own path": (
        {"app": "router = APIRouter(prefix='/orders')\n@router.get('')\nasync def one():"},
        "request GET /orders",
    ),
    "no path at all": ({"app": "router = APIRouter()\n@router.get('')\nasync def one():"}, "request one"),
    "a router in a function": (
        {"app": "def routes():\n  router = APIRouter(prefix='/a')\n  @router.get('/b')\n  async def one():"},
        "request GET /a/b",
    ),
    "included, through two others": (
        {
            "api": (
                "from fastapi import APIRouter\nimport orders\nfrom rest import router as rest\n"
                "api = APIRouter(prefix='/api')\n"
                "api.include_router(orders.router, prefix='/orders')\napi.include_router(rest)\n"
            ),
            "main": "from api import api\nfrom fastapi import FastAPI\napp = FastAPI()\napp.include_router(api, prefix='/v1/')\nasync def x(): pass\n",
            "rest": "router = None\n",
            "orders": "router = APIRouter(prefix='/all')\n@router.post('/new')\nasync def one():",
        },
        "request POST /v1/api/orders/all/new",
    ),
    "a blueprint": (
        {"app": "from quart import Blueprint\nbp = Blueprint('a', __name__, url_prefix='/a')\n@bp.route('/b', methods=['PUT'])\nasync def one():"},
        "request PUT /a/b",
    ),
    "a blueprint that is registered under another prefix": (
        {
            "main": "from parts import bp\nasync def x(): pass\napp.register_blueprint(bp, url_prefix='/c')\n",
            "parts": "from quart import Blueprint\nbp = Blueprint('a', __name__, url_prefix='/a')\n@bp.get('/b')\nasync def one():",
        },
        "request GET /c/b",
    ),
    "a mounted application": (
        {"app": "from fastapi import FastAPI\napp = FastAPI()\nadmin = FastAPI()\napp.mount('/admin', admin)\n@admin.get('/b')\nasync def one():"},
        "request GET /admin/b",
    ),
    "routes of an application within another": (
        {"app": "from aiohttp import web\nroutes = web.RouteTableDef()\napp = web.Application()\nadmin = web.Application()\nadmin.add_routes(routes)\napp.add_subapp('/admin/', admin)\n@routes.get('/b')\nasync def one(request):"},
        "request GET /admin/b",
    ),
    "a handler that is added by a call": (
        {"app": "from aiohttp import web\napp = web.Application()\nadmin = web.Application()\ndef setup():\n    admin.router.add_get('/b', one)\n    app.add_subapp('/admin', admin)\nasync def one(request):"},
        "request GET /admin/b",
    ),
    "two routes of one function: the first": (
        {"app": "a = APIRouter(prefix='/a')\nb = APIRouter(prefix='/b')\n@a.get('/x')\n@b.get('/x')\nasync def one():"},
        "request GET /a/x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ROUTES)
def test_a_route_is_named_with_its_prefix(tmp_path, what):
    files, called = ROUTES[what]
    *others, (last, text) = files.items()
    head = "import time\nfrom fastapi import APIRouter\n"
    depth = "      " if text.startswith("def ") else "    "
    made = {**dict(others), last: f"{head}{text}\n{depth}time.sleep(1)\n"}
    (found,) = scanned(tmp_path, **made)
    assert found.called_by == called


@pytest.mark.parametrize(
    ("uses", "packaged", "weight"),
    [
        ("load()", "", "heavy"),
        ("# load()", "", "light"),
        ("from app import load", "", "light"),
        ("# load()", "setup.py", "heavy"),
    ],
)
def test_what_nothing_in_a_program_names_weighs_little(tmp_path, uses, packaged, weight):
    files = {f"part{number}": f"{uses}\n" for number in range(20)}
    if packaged:
        (tmp_path / packaged).write_text("name = 'x'\n")
    found = scanned(tmp_path, app="import time\nasync def load():\n    time.sleep(1)\n", **files)
    assert [one.weight for one in found if one.kind == "blocking-sleep"] == [weight]


def test_what_is_part_of_few_files_may_be_called_from_others(tmp_path):
    (found,) = scanned(tmp_path, app="import time\nasync def load():\n    time.sleep(1)\n")
    assert found.weight == "heavy"


def test_a_class_that_only_a_script_makes_weighs_little(tmp_path):
    files = {f"part{number}": "" for number in range(20)}
    made = "import time\nclass Store:\n    async def load(self):\n        time.sleep(1)\n    async def all(self):\n        await self.load()\n"
    for user, weight in (("scripts__x", "light"), ("pages", "heavy")):
        found = scanned(
            tmp_path, store=made, **files, **{user: "from store import Store\nStore()\n"}
        )
        assert [one.weight for one in found if one.file == "store.py"] == [weight]


def test_what_a_worker_does_before_its_loop_happens_once(tmp_path):
    found = scanned(
        tmp_path,
        app=(
            "import requests\nasync def worker(queue):\n    requests.get('http://x')\n    while True:\n"
            "        await queue.get()\n        requests.get('http://y')\n"
        ),
    )
    assert {one.line: one.weight for one in found} == {3: "light", 6: "heavy"}
