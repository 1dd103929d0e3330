"""Shapes that were false alarms on other people's code: each beside a bad one that must be found."""

import pytest

from tests.scanner.test_weights import scanned


def shown(found):
    return [
        (one.line, one.kind) for one in found if one.confidence != "hint" and one.weight != "light"
    ]


CASES = {
    "what a search gives is data": (
        (
            "from elasticsearch import Elasticsearch\nstore = Elasticsearch()\n"
            "def hits(answer):\n    return answer.get('hits')\n"
            "def search(name):\n    return store.search(index=name)\n"
            "async def page(name):\n    {}\n"
        ),
        "search(name)",
        "hits(await found(name))",
        "blocking-db",
    ),
    "what a repository gives blocks as well": (
        "import docker\nclient = docker.DockerClient()\nasync def page(name):\n    {}\n",
        "client.containers.get(name).logs()",
        "await hosts(client.containers)",
        "blocking-sdk",
    ),
    "a stream that is in memory": (
        (
            "import io\nfrom typing import BinaryIO\n"
            "def number(stream: BinaryIO):\n    return stream.read(4)\n"
            "async def page(name):\n    {}\n"
        ),
        "number(open(name, 'rb'))",
        "number(io.BytesIO(name))",
        "blocking-file-io",
    ),
    "an awaited call of a wrapper that waits for other callers only": (
        (
            "import concurrent.futures\nDONE = concurrent.futures.Future()\n"
            "def both(function):\n    def wrapper(*given):\n        if running():\n"
            "            return function(*given)\n        return DONE.result()\n    return wrapper\n"
            "@both\nasync def fetch():\n    pass\n"
            "@both\ndef plain():\n    pass\n"
            "async def page():\n    {}\n"
        ),
        "plain()",
        "await fetch()",
        "blocking-sync-primitive",
    ),
    "a database in memory": (
        (
            "import sqlite3\nclass Pool:\n    def __init__(self, path):\n"
            "        self.own = sqlite3.connect(':memory:')\n        self.disk = sqlite3.connect(path)\n"
            "POOL = Pool('x')\nasync def page():\n    {}\n"
        ),
        "POOL.disk.execute('SELECT 1')",
        "POOL.own.execute('SELECT 1')",
        "blocking-db",
    ),
    "a datagram socket connects to nobody": (
        "import socket\nasync def page(host):\n    {}\n",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(host)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(host)",
        "blocking-net",
    ),
    "it waits for an answer all the same": (
        "import socket\nasync def page(host):\n    {}\n",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).recv(9)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).getsockname()",
        "blocking-net",
    ),
    "cancellation that is raised later": (
        (
            "import asyncio\nasync def page(job):\n    late = None\n    try:\n        await job.run()\n"
            "    except asyncio.CancelledError as error:\n        {}\n    await job.end()\n"
            "    if late:\n        raise late\n"
        ),
        "print(error)",
        "late = error",
        "swallowed-cancellation",
    ),
    "the end of another task": (
        (
            "import asyncio\nasync def page(job):\n    try:\n        await {}\n"
            "    except asyncio.CancelledError:\n        pass\n    await job.end()\n"
        ),
        "job.run()",
        "job.task",
        "swallowed-cancellation",
    ),
    "a task that ends as it was asked to": (
        (
            "import asyncio\nasync def watch():\n    while True:\n        try:\n            await asyncio.sleep(1)\n"
            "        except asyncio.CancelledError:\n            return\n"
            "async def begin(kept):\n    {}\n"
        ),
        "await watch()",
        "kept.append(asyncio.create_task(watch()))",
        "swallowed-cancellation",
    ),
    "the program's main coroutine": (
        (
            "import asyncio\nasync def main():\n    pass\nasync def fetch():\n    pass\n"
            "def run(options):\n    return asyncio.run({})\n"
        ),
        "fetch()",
        "main()",
        "loop-per-call",
    ),
    "a loop that is kept by an object": (
        (
            "import asyncio\nclass Feed:\n    async def poll(self):\n        pass\n"
            "    def __init__(self):\n        self.loop = {0}\n"
            "def feed():\n    return {1}\n"
        ),
        ("None", "asyncio.get_event_loop()"),
        ("asyncio.get_event_loop()", "None"),
        "get-event-loop",
    ),
    "parts of a package that its own __init__ imports": (
        (
            "import aiohttp\nfrom parts import Ending\nclass Shop({}):\n"
            "    def __init__(self):\n        self.session = aiohttp.ClientSession()\n"
            "async def page():\n    return Shop()\n"
        ),
        "object",
        "Ending",
        "unclosed-resource",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_the_bad_one_is_found_and_the_other_is_not(tmp_path, what):
    text, bad, good, kind = CASES[what]
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/__init__.py").write_text(
        "from . import ends\nclass Ending(ends.Ends):\n    pass\n"
    )
    (tmp_path / "parts/ends.py").write_text(
        "class Ends:\n    async def stop(self):\n        await self.session.close()\n"
    )
    found = {}
    for name, way in (("bad", bad), ("good", good)):
        filled = text.format(*((way,) if isinstance(way, str) else way))
        found[name] = [one for _, one in shown(scanned(tmp_path, app=filled))]
    assert kind in found["bad"]
    assert found["good"] == []


def test_a_method_that_many_classes_define_is_a_hint(tmp_path):
    head = "import time\nclass Block:\n    def __init__(self):\n        self.begin()\n    def begin(self):\n        pass\n"
    one = "class B{0}(Block):\n    def begin(self):\n        time.sleep(1)\n"
    page = "async def page():\n    Block()\n"
    few = scanned(tmp_path, app=head + "".join(map(one.format, range(2))) + page)
    assert [more.confidence for more in few] == ["likely"]
    many = scanned(tmp_path, app=head + "".join(map(one.format, range(9))) + page)
    assert [more.confidence for more in many] == ["hint"]


def test_an_object_is_bound_by_the_loops_that_its_own_holder_runs_under(tmp_path):
    made = (
        "import asyncio\nclass Node:\n    def __init__(self):\n        self.joined = asyncio.Event()\n"
        "    async def run(self):\n        await self.joined.wait()\n"
    )
    use = "import asyncio\nfrom node import Node\n{}async def go():\n    {}\nasyncio.run(go())\nasyncio.run(go())\n"
    shared = "NODE = Node()\n", "await NODE.run()"
    own = "", "await Node().run()"
    files = {"node": made, "app": use.format(*shared)}
    found = scanned(tmp_path, **files)
    assert [one.kind for one in found] == ["loop-bound-primitive"]
    found = scanned(
        tmp_path,
        node=made,
        app=use.format(*own),
        other="from node import Node\nNODE = Node()\nasync def x(): pass\n",
    )
    assert [one.kind for one in found] == []


def test_a_query_in_memory_is_found_and_weighs_little(tmp_path):
    (found,) = scanned(
        tmp_path,
        app=(
            "import sqlite3\nDB = sqlite3.connect(':memory:')\n"
            "async def page():\n    DB.execute('SELECT 1')\n"
        ),
    )
    assert (found.kind, found.weight) == ("blocking-db", "light")
