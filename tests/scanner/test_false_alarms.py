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
            "def number(stream: BinaryIO):\n    return [stream.read(4) for _ in range(99)]\n"
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
            "import asyncio\nasync def page(job):\n    late = None\n    for _ in '12':\n        try:\n"
            "            await job.run()\n"
            "        except asyncio.CancelledError as error:\n            {}\n        await job.end()\n"
            "    if late:\n        raise late\n"
            "async def limited(job):\n    await asyncio.wait_for(page(job), 1)\n"
        ),
        "print(error)",
        "late = error",
        "swallowed-cancellation",
    ),
    "the end of another task": (
        (
            "import asyncio\nasync def page(job):\n    while True:\n        try:\n            await {}\n"
            "        except asyncio.CancelledError:\n            pass\n        await job.end()\n"
            "async def limited(job):\n    await asyncio.wait_for(page(job), 1)\n"
        ),
        "job.run()",
        "job.task",
        "swallowed-cancellation",
    ),
    "a task that ends as it was asked to": (
        (
            "import asyncio\nasync def watch():\n    while True:\n        try:\n            await asyncio.sleep(1)\n"
            "        except asyncio.CancelledError:\n            {1}\n"
            "async def begin(kept):\n    {0}\n    kept[0].cancel()\n"
        ),
        ("kept.append(asyncio.create_task(watch()))", "pass"),
        ("kept.append(asyncio.create_task(watch()))", "return"),
        "swallowed-cancellation",
    ),
    "the program's main coroutine": (
        (
            "import asyncio, flask\nasync def main():\n    pass\nasync def fetch():\n    pass\n"
            "web = flask.Flask('app')\n@web.get('/')\ndef run(options):\n    return asyncio.run({})\n"
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
    "a job that ends whatever happens": (
        (
            "import asyncio\nasync def page(job):\n    while True:\n        try:\n            await job.run()\n"
            "        except BaseException:\n            {}\n"
            "async def limited(job):\n    await asyncio.wait_for(page(job), 1)\n"
        ),
        "print('later')",
        "return",
        "swallowed-cancellation",
    ),
    "a stream in memory that an attribute holds": (
        (
            "import io\nclass Reader:\n    def __init__(self, stream):\n        self.stream = stream\n"
            "    def all(self):\n        return [self.stream.read(4) for _ in range(99)]\n"
            "def tool(name):\n    return Reader(open(name, 'rb')).all()\n"
            "async def page(name):\n    Reader({}).all()\n"
        ),
        "open(name, 'rb')",
        "io.BytesIO(name)",
        "blocking-file-io",
    ),
    "a generator of which a constant switches a part off": (
        (
            "import contextlib, subprocess\n@contextlib.contextmanager\n"
            "def opened(name, build=False):\n    if build:\n        subprocess.run([name])\n    yield name\n"
            "async def page(name, build):\n    with opened({}):\n        pass\n"
        ),
        "name, build",
        "name",
        "blocking-subprocess",
    ),
    "a generator that is an override runs when it is asked": (
        (
            "import requests\nclass Worker:\n    def stream(self, url):\n        raise NotImplementedError\n"
            "class Remote(Worker):\n    def stream(self, url):\n        {} requests.get(url)\n"
            "async def page(worker: Worker, url):\n    return worker.stream(url)\n"
        ),
        "return",
        "yield",
        "blocking-http",
    ),
    "a full queue has something to give": (
        (
            "import queue\nclass Buffer(queue.Queue):\n    def add(self, one):\n        if {}:\n"
            "            self.get()\n        self.put_nowait(one)\n"
            "ROWS = Buffer()\nasync def page(one):\n    ROWS.add(one)\n"
        ),
        "one",
        "self.full()",
        "blocking-sync-primitive",
    ),
    "a queue with enough in it": (
        "import queue\nROWS = queue.Queue()\nasync def page(one):\n    if {}:\n        ROWS.get()\n",
        "one >= 9",
        "ROWS.qsize() >= 9",
        "blocking-sync-primitive",
    ),
    "a feed that has been fetched": (
        (
            "import feedparser\nasync def page(session, url):\n    answer = await session.get(url)\n"
            "    return feedparser.parse({})\n"
        ),
        "url",
        "answer.text",
        "blocking-http",
    ),
    "a feed that is awaited": (
        "import feedparser\nasync def page(session, url):\n    feedparser.parse({})\n",
        "url",
        "await session.text(url)",
        "blocking-http",
    ),
    "a feed that a caller has fetched": (
        "import feedparser\nasync def page(url, content):\n    feedparser.parse({})\n",
        "url",
        "content",
        "blocking-http",
    ),
    "processes that the loop starts": (
        "import asyncio, subprocess\nasync def page(names):\n    for name in names:\n        {}\n",
        "subprocess.Popen(name)",
        "await asyncio.create_subprocess_exec(name)",
        "blocking-subprocess",
    ),
    "threads that are awaited before their pool ends": (
        (
            "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor\n"
            "async def page(job):\n    loop = asyncio.get_running_loop()\n"
            "    with ThreadPoolExecutor() as pool:\n        {}\n"
        ),
        "pool.submit(job)",
        "await loop.run_in_executor(pool, job)",
        "blocking-sync-primitive",
    ),
    "what a thread does for those who ask": (
        (
            "import queue, sqlite3, threading\nclass Store(threading.Thread):\n    jobs = queue.Queue()\n"
            "    def ask(self, function):\n        if {}:\n            self.jobs.put_nowait(function)\n"
            "        else:\n            function()\n"
            "    def rows(self):\n        return sqlite3.connect('x').execute('SELECT 1')\n"
            "STORE = Store()\nasync def page(late):\n    STORE.ask(STORE.rows)\n"
        ),
        "self.late",
        "self.is_alive()",
        "blocking-db",
    ),
    "no thread, but a peer that is gone": (
        (
            "import requests, threading\nclass Peer({}):\n    def ask(self):\n"
            "        if self.is_alive():\n            return True\n        return requests.get('http://x')\n"
            "PEER = Peer()\nasync def page():\n    PEER.ask()\n"
        ),
        "object",
        "threading.Thread",
        "blocking-http",
    ),
    "what the environment switches on for tests": (
        (
            "import os, subprocess\ndef emit(name):\n    if os.environ.get('{}') == '1':\n"
            "        subprocess.run([name])\nasync def page(name):\n    emit(name)\n"
        ),
        "REGION",
        "PYTEST_BUILD_DOCS",
        "blocking-subprocess",
    ),
    "a descriptor that is ready": (
        (
            "import asyncio, os, time\nasync def page(fd):\n    def ready():\n        {}\n"
            "    asyncio.get_running_loop().add_reader(fd, ready)\n"
        ),
        "time.sleep(1)",
        "[os.read(fd, 9) for _ in range(9)]",
        "blocking-sleep",
    ),
    "the project's own create_task": (
        (
            "class Tasks:\n    def {}(self, job):\n        self.all.add(job)\n"
            "class Part:\n    async def poll(self):\n        pass\n"
            "    def begin(self):\n        self.server.loop.create_task(self.poll())\n"
        ),
        "keep",
        "create_task",
        "dropped-task",
    ),
    "an address of this machine": (
        "import socket\nasync def page(host):\n    socket.getaddrinfo(host, 80, 0, 0, 0, {})\n",
        "socket.AI_CANONNAME",
        "socket.AI_PASSIVE",
        "blocking-net",
    ),
    "an address that needs no name": (
        "import socket\nHOST = '::1'\nasync def page(host):\n    {}\n",
        "socket.getaddrinfo('shop.example', 80)",
        "socket.gethostbyname('127.0.0.1')\n    socket.getaddrinfo(HOST, 80)\n    socket.getaddrinfo(None, 80)",
        "blocking-net",
    ),
    "the name of an address": (
        "import socket\nasync def page(host='10.0.0.1'):\n    socket.{}\n",
        "gethostbyaddr('10.0.0.1')",
        "getaddrinfo('10.0.0.1', 80)",
        "blocking-net",
    ),
    "an address that is only the usual one": (
        "import socket\nasync def page(host='10.0.0.1'):\n    socket.gethostbyname({})\n",
        "host",
        "'10.0.0.1'",
        "blocking-net",
    ),
    "a datagram socket of an address that was asked for as such": (
        (
            "import socket\nasync def page(host, loop):\n    found = await loop.getaddrinfo(host, 80, type=socket.{})\n"
            "    socket.socket(*found[0][:2]).connect(host)\n"
        ),
        "SOCK_STREAM",
        "SOCK_DGRAM",
        "blocking-net",
    ),
    "a loop looked up by a demonstration": (
        "import asyncio\nasync def page():\n    pass\nif {}:\n    LOOP = asyncio.get_event_loop()\n",
        "page",
        "__name__ == '__main__'",
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
    "a table that holds every key": (
        (
            "import requests\nTABLE = {{'wait': '...'}}\ndef text(key):\n    try:\n        return {}\n"
            "    except KeyError:\n        return requests.get(key)\n"
            "async def page():\n    return text('wait')\n"
        ),
        "requests.get('x')[key]",
        "TABLE[key]",
        "blocking-http",
    ),
    "the loop's own thread is told from the others": (
        (
            "import asyncio, threading\ndef from_anywhere(app, work):\n"
            "    here = app.thread {} threading.current_thread().ident\n"
            "    if here:\n        return app.loop.create_task(work)\n"
            "    return asyncio.run_coroutine_threadsafe(work, app.loop).result()\n"
            "async def page(app, work):\n    await from_anywhere(app, work)\n"
        ),
        "!=",
        "==",
        "blocking-sync-primitive",
    ),
    "a worker's thread is told from the others": (
        (
            "import queue, threading\nclass Jobs:\n    rows = queue.Queue()\n"
            "    def ask(self):\n        if threading.{1}:\n            return None\n"
            "        return self.rows.get()\n"
            "    def work(self):\n        {0}\n"
            "    def begin(self):\n        self.worker = threading.Thread(target=self.work)\n"
            "JOBS = Jobs()\nasync def page():\n    JOBS.ask()\n"
        ),
        ("self.own = threading.get_ident()", "get_ident() == self.own"),
        ("pass", "current_thread() is not self.worker"),
        "blocking-sync-primitive",
    ),
    "a thread's own number": (
        (
            "import threading, time\nclass Jobs(threading.Thread):\n"
            "    def ask(self):\n        if threading.current_thread() {} self:\n            return None\n"
            "        time.sleep(1)\n"
            "JOBS = Jobs()\nasync def page():\n    JOBS.ask()\n"
        ),
        "is",
        "is not",
        "blocking-sleep",
    ),
    "a text where a file may be given as well": (
        (
            "import json\ndef decoded(content):\n    if isinstance(content, (str, bytes)):\n"
            "        return json.loads(content)\n    return [content.read(4) for _ in range(9)]\n"
            "def settings(path):\n    with open(path) as file:\n        return decoded(file)\n"
            "async def page(name: str):\n    {}(name)\n"
        ),
        "settings",
        "decoded",
        "blocking-file-io",
    ),
    "bytes where only a text is none": (
        (
            "import requests\ndef decoded(content):\n    if isinstance(content, {}):\n        return content\n"
            "    return requests.get(content)\nasync def page(name: bytes):\n    decoded(name)\n"
        ),
        "str",
        "(str, bytes)",
        "blocking-http",
    ),
    "a text that is looked up by name": (
        (
            "import requests\ndef decoded(content):\n    if not isinstance(content, str):\n"
            "        return content\n    return requests.get(content)\n"
            "async def page(name: str):\n    decoded({})\n"
        ),
        "name",
        "[name]",
        "blocking-http",
    ),
    "a task that leaves its last loop": (
        (
            "import asyncio\nasync def watch():\n    while True:\n        try:\n            await asyncio.sleep(1)\n"
            "        except asyncio.CancelledError:\n            break\n        await asyncio.sleep(2)\n    {}\n"
            "async def begin(kept):\n    kept.append(asyncio.create_task(watch()))\n    kept[0].cancel()\n"
        ),
        "await asyncio.sleep(3)",
        "print('over')",
        "swallowed-cancellation",
    ),
    "the cancellation of threads' work": (
        (
            "import asyncio, concurrent.futures\nasync def page(job):\n    while True:\n        try:\n            await job.run()\n"
            "        except {}.CancelledError:\n            pass\n        await job.end()\n"
            "async def limited(job):\n    await asyncio.wait_for(page(job), 1)\n"
        ),
        "asyncio",
        "concurrent.futures",
        "swallowed-cancellation",
    ),
    "a task that catches its own errors in each turn": (
        (
            "import asyncio\nasync def drain(rows):\n    while True:\n        try:\n            await rows.get()\n"
            "        except {} as error:\n            print(error)\n"
            "async def page(rows):\n    asyncio.create_task(drain(rows))\n"
        ),
        "ValueError",
        "Exception",
        "dropped-task",
    ),
    "a task that is a thread": (
        "import asyncio\nasync def page(app):\n    asyncio.create_task({})\n",
        "app.save()",
        "asyncio.to_thread(app.save)",
        "dropped-task",
    ),
    "a task that only waits for threads": (
        (
            "import asyncio\nasync def ask(app):\n    await asyncio.to_thread(app.ask)\n    {}\n"
            "async def page(app):\n    asyncio.create_task(ask(app))\n"
        ),
        "await app.end()",
        "await asyncio.to_thread(app.end)",
        "dropped-task",
    ),
    "the task for which a loop is run": (
        (
            "import asyncio\nasync def work():\n    pass\ndef begin():\n    loop = asyncio.new_event_loop()\n"
            "    loop.create_task(work())\n    loop.{}\n"
        ),
        "run_until_complete(asyncio.sleep(1))",
        "run_forever()",
        "dropped-task",
    ),
    "a task that shows something to people": (
        "import asyncio\nasync def page(message):\n    asyncio.create_task(message.{}())\n",
        "store",
        "pin",
        "dropped-task",
    ),
    "few rounds of a key derivation": (
        "import hashlib\nasync def page(word):\n    hashlib.pbkdf2_hmac('sha256', word, b'x', {})\n",
        "600_000",
        "2048",
        "cpu-bound",
    ),
    "what is undone after an error": (
        (
            "from sqlalchemy.orm import Session\nasync def page(session: Session, job):\n    try:\n"
            "        await job.run()\n    except ValueError:\n        session.{}()\n"
        ),
        "commit",
        "rollback",
        "blocking-db",
    ),
    "a folder that is cleared away before it is made": (
        "import os, shutil\nasync def page(name):\n    {}\n    os.makedirs(name)\n",
        "shutil.rmtree(name)",
        "shutil.rmtree(name, ignore_errors=True)",
        "blocking-file-io",
    ),
    "a folder that only the owner has removed": (
        "import shutil\n@bot.command()\n@checks.has_permissions(Level.{})\nasync def page(ctx):\n    shutil.rmtree(ctx.name)\n",
        "EVERYBODY",
        "OWNER",
        "blocking-file-io",
    ),
    "what else the owner has done to a folder": (
        (
            "import shutil\ndef drop(name):\n    shutil.rmtree(name)\n    {}(name, 'x')\n"
            "@app.post('/drop', dependencies=[Depends(is_admin)])\nasync def page(name):\n    drop(name)\n"
        ),
        "shutil.copytree",
        "print",
        "blocking-file-io",
    ),
    "the folder of a plugin": (
        (
            "import shutil\ndef remove_{}(name):\n    shutil.rmtree(name)\n"
            "@app.post('/drop')\nasync def page(name):\n    remove_{}(name)\n"
        ),
        ("orders", "orders"),
        ("plugin", "plugin"),
        "blocking-file-io",
    ),
    "what others ask for as well": (
        (
            "import shutil\ndef drop(name):\n    shutil.rmtree(name)\n"
            "@app.post('/drop')\nasync def page(name{}):\n    drop(name)\n"
        ),
        "",
        ", user=Depends(get_current_superuser)",
        "blocking-file-io",
    ),
    "a loop that is set for others": (
        "import asyncio, flask\nweb = flask.Flask('app')\n@web.get('/')\ndef begin(work):\n    loop = asyncio.new_event_loop()\n    asyncio.set_event_loop(loop)\n    {}\n",
        "loop.run_until_complete(work)",
        "print(loop)",
        "loop-per-call",
    ),
    "the program's own run": (
        (
            "import asyncio, flask\nweb = flask.Flask('app')\n"
            "class App:\n    async def serve(self):\n        pass\n"
            "    def start_all(self):\n        self.work()\n"
            "    def work(self):\n        asyncio.run(self.serve())\n"
            "def main():\n    App().start_all()\n{}if __name__ == '__main__':\n    main()\n"
        ),
        "@web.route('/again')\ndef again():\n    App().work()\n",
        "",
        "loop-per-call",
    ),
    "a message to a peer that is connected": (
        "import websocket\nasync def page(url):\n    peer = websocket.WebSocket()\n    peer.{}\n",
        "recv()",
        "send('x')",
        "blocking-net",
    ),
    "the override of a sibling": (
        (
            "import requests\nclass Deps:\n    @classmethod\n    def made(cls):\n        return cls()\n"
            "    def update(self):\n        self.refresh()\n    def refresh(self):\n        raise NotImplementedError\n"
            "class Remote(Deps):\n    def refresh(self):\n        requests.get('http://x')\n"
            "class Own(Deps):\n    def refresh(self):\n        self.n = 1\n"
            "async def page():\n    {}.made().update()\n"
        ),
        "Remote",
        "Own",
        "blocking-http",
    ),
    "a client that the module keeps": (
        (
            "import httpx\nCLIENT = None\nasync def shared():\n    global CLIENT\n    if CLIENT is None:\n"
            "        CLIENT = httpx.AsyncClient()\n    return CLIENT\n"
            "class Fetch:\n    async def __aenter__(self):\n        self.client = {}\n        return self\n"
        ),
        "httpx.AsyncClient()",
        "await shared()",
        "unclosed-resource",
    ),
    "gathered coroutines that let no error out": (
        (
            "import asyncio\nasync def told(one):\n    try:\n        await one.send()\n"
            "    except {} as error:\n        print(error)\n"
            "async def page(all):\n    await asyncio.gather(*[told(one) for one in all], return_exceptions=True)\n"
        ),
        "ValueError",
        "Exception",
        "dropped-gather-results",
    ),
    "an event that a thread clears wakes nobody": (
        (
            "import asyncio\nclass Feed:\n    def __init__(self):\n        self.ready = asyncio.Event()\n"
            "    def told(self):\n        self.ready.{}()\n"
            "    async def run(self):\n        await asyncio.to_thread(self.told)\n"
        ),
        "set",
        "clear",
        "loop-bound-primitive",
    ),
    "a task that catches its own errors": (
        (
            "import asyncio\nasync def told(one):\n    try:\n        await one.send()\n"
            "    except {} as error:\n        print(error)\n"
            "async def page(one):\n    asyncio.create_task(told(one))\n"
        ),
        "ValueError",
        "Exception",
        "dropped-task",
    ),
    "a task that only tells how things went": (
        "import asyncio\nasync def page(app):\n    asyncio.create_task(app.{}(1))\n",
        "save",
        "telemetry.sent",
        "dropped-task",
    ),
    "a file of the program's own in a handler": (
        "@app.post('/x')\nasync def page(request):\n    with open('x', 'wb') as file:\n        file.write({})\n",
        "await request.body()",
        "NAME",
        "blocking-file-io",
    ),
    "a pool that ends with its owner": (
        (
            "from concurrent.futures import ThreadPoolExecutor\nclass Base:\n    def __init__(self):\n"
            "        self.pool = ThreadPoolExecutor()\n    async def {}(self):\n        self.pool.shutdown(wait=True)\n"
        ),
        "resize",
        "close",
        "blocking-sync-primitive",
    ),
    "what happens before a restart": (
        "import requests\n@app.post('/back')\nasync def rollback(app):\n    requests.get('http://x')\n    {}\n",
        "return app.version()",
        "return app.done(restart_required=True)",
        "blocking-http",
    ),
    "a client that is kept for each setting": (
        (
            "import requests\nCLIENT = None\ndef shared(key):\n    global CLIENT\n"
            "    if {}:\n        return CLIENT\n    CLIENT = requests.get(key)\n    return CLIENT\n"
            "async def page(key):\n    return shared(key)\n"
        ),
        "KEY == key",
        "CLIENT is not None and KEY == key",
        "blocking-http",
    ),
    "a pooled connection is one": (
        (
            "from mysql.connector import pooling\nPOOL = pooling.MySQLConnectionPool()\n"
            "async def page(app):\n    {}.cursor().execute('SELECT 1')\n"
        ),
        "POOL.get_connection()",
        "app.get_connection()",
        "blocking-db",
    ),
    "a model that is run by a method": (
        (
            "import onnxruntime\nclass Model:\n    def __init__(self):\n"
            "        self.own = onnxruntime.InferenceSession('x')\n"
            "    def __call__(self, x):\n        return self.own.{}\n"
            "MODEL = Model()\nasync def page(x):\n    return MODEL(x)\n"
        ),
        "run(None, x)",
        "get_inputs()",
        "cpu-bound",
    ),
    "what a feed parser is given": (
        "import feedparser\nasync def page(answer, url):\n    feedparser.parse({})\n",
        "url",
        "await answer.text()",
        "blocking-http",
    ),
    "a whole file that is hashed": (
        (
            "import hashlib\ndef digest(name):\n    sum = hashlib.sha256()\n"
            "    with open(name, 'rb') as file:\n        {}\n            sum.update(part)\n"
            "async def page(name):\n    digest(name)\n"
        ),
        "for part in iter(lambda: file.read(9), b''):",
        "if part := file.read(9):",
        "blocking-file-io",
    ),
    "a whole file that a test reads piece by piece": (
        (
            "def copied(name, to):\n    with open(name, 'rb') as file:\n        {} part := file.read(9):\n"
            "            to.append(part)\nasync def page(name, to):\n    copied(name, to)\n"
        ),
        "while",
        "if",
        "blocking-file-io",
    ),
    "a client's thread that calls back": (
        (
            "import asyncio\nimport paho.mqtt.client as mqtt\nclass Feed:\n    def __init__(self, loop):\n"
            "        self.loop = loop\n        self.ready = asyncio.Event()\n        self.client = mqtt.Client()\n"
            "        self.client.on_connect = self.told\n    def told(self, *given):\n        {}\n"
            "    async def run(self):\n        await self.ready.wait()\n"
        ),
        "self.ready.set()",
        "self.loop.call_soon_threadsafe(self.ready.set)",
        "loop-bound-primitive",
    ),
    "a task from a client's thread": (
        (
            "import asyncio\nimport paho.mqtt.client as mqtt\nasync def gone():\n    pass\nclass Feed:\n"
            "    def begin(self, loop):\n        self.loop = loop\n        self.client = mqtt.Client()\n"
            "        self.client.on_connect = self.told\n    def told(self, *given):\n        {}\n"
        ),
        "self.job = self.loop.create_task(gone())",
        "self.job = asyncio.run_coroutine_threadsafe(gone(), self.loop)",
        "loop-bound-primitive",
    ),
    "a task whose steps catch their own errors": (
        (
            "import asyncio\nclass Feed:\n    async def push(self, one):\n        await self._tell(one)\n"
            "        await self._pass_on(one)\n"
            "    async def _tell(self, one):\n        for each in self.listeners:\n            try:\n"
            "                await each(one)\n            except Exception as error:\n                print(error)\n"
            "    async def _pass_on(self, one):\n        {}\n"
            "    def heard(self, one, loop):\n        asyncio.run_coroutine_threadsafe(self.push(one), loop)\n"
        ),
        "await self.next.queue(one)",
        "async with self.lock:\n            if self.next:\n                await self._tell(one)",
        "dropped-task",
    ),
    "what is put into a queue": (
        (
            "import asyncio\nclass Feed:\n    def __init__(self):\n        self.all = asyncio.Queue()\n"
            "    async def store(self, one):\n        await self.disk.write(one)\n"
            "    def heard(self, one, loop):\n        asyncio.run_coroutine_threadsafe(self.{}(one), loop())\n"
        ),
        "store",
        "all.put",
        "dropped-task",
    ),
    "a task that waits before it does something": (
        (
            "import asyncio\nasync def later(one, queue):\n    await asyncio.sleep(3)\n    {}\n"
            "async def page(one, queue):\n    asyncio.create_task(later(one, queue))\n"
        ),
        "save(one)",
        "await queue.put(one)",
        "dropped-task",
    ),
    "a queue for each that listens": (
        (
            "import asyncio\nasync def tell(queues, one):\n"
            "    await asyncio.gather(*[queue.{}(one) for queue in queues], return_exceptions=True)\n"
        ),
        "save",
        "put",
        "dropped-gather-results",
    ),
    "what a setting that is not given switches on": (
        (
            "import time\nclass Config:\n    def __init__(self, script=None):\n        self.script = script\n"
            "        if self.script and not self.done:\n            time.sleep(3)\n"
            "async def page():\n    Config({})\n"
        ),
        "script='x'",
        "",
        "blocking-sleep",
    ),
    "a library that is installed where it is missing": (
        (
            "import importlib.util, subprocess\nasync def page(name):\n    {}\n"
            "        subprocess.check_call(['pip', 'install', name])\n"
        ),
        "if importlib.util.find_spec(name) is FOUND:",
        "if importlib.util.find_spec(name) is None:",
        "blocking-subprocess",
    ),
    "a context of a server's": (
        "import ssl\nasync def page():\n    for one in await names():\n        ssl.create_default_context({})\n",
        "ssl.Purpose.SERVER_AUTH",
        "ssl.Purpose.CLIENT_AUTH",
        "blocking-file-io",
    ),
    "what was found before": (
        (
            "import subprocess\nclass Browser:\n    def __init__(self, url=None):\n        self.url = url\n"
            "        self.found = None\n"
            "    async def start(self):\n        if self.{0}:\n            return self.{0}\n"
            "        self.found = subprocess.check_output('x')\n        return self.found\n"
        ),
        "url",
        "found",
        "blocking-subprocess",
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


def test_a_task_that_a_clients_thread_makes_is_told_once(tmp_path):
    text, bad, _, kind = CASES["a task from a client's thread"]
    (found,) = scanned(tmp_path, app=text.format(bad.removeprefix("self.job = ")))
    assert found.kind == kind
    assert "asyncio.run_coroutine_threadsafe()" in found.message


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


def test_a_key_derivation_bears_its_own_name(tmp_path):
    text = (
        "from cryptography.hazmat.primitives.kdf.{0} import {1}\n"
        "async def page(word):\n    {1}(salt=b'').derive(word)\n"
    )
    for module, name in (("scrypt", "Scrypt"), ("pbkdf2", "PBKDF2HMAC")):
        (found,) = scanned(tmp_path, app=text.format(module, name))
        assert found.leaf[2].endswith(f"kdf.{module}.{name}.derive")


def test_a_missing_key_of_what_comes_in_is_only_likely(tmp_path):
    text = (
        "import requests\ndef named(data):\n    try:\n        return data['name']\n"
        "    except {}:\n        return requests.get('http://x')\nasync def page(data):\n    named(data)\n"
    )
    sure = [
        scanned(tmp_path, app=text.format(error))[0].confidence
        for error in ("KeyError", "ValueError", "(KeyError, ValueError)")
    ]
    assert sure == ["likely", "certain", "certain"]


def test_a_temporary_folder_weighs_less_than_another(tmp_path):
    found = scanned(
        tmp_path,
        app="import shutil\nasync def page(app):\n    shutil.rmtree(app.tmp_dir)\n    shutil.rmtree(app.data)\n",
    )
    assert {one.line: one.weight for one in found} == {3: "medium", 4: "heavy"}
