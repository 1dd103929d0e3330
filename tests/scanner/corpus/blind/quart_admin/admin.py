"""The admin pages: settings, exports, sessions."""

import asyncio
import os
import pathlib
import tempfile
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from collections.abc import AsyncIterator, Iterator

import aiohttp
import httpx
import portalocker
from quart import Quart, request
from slack_sdk import WebClient
from slack_sdk.web.async_client import AsyncWebClient

try:
    import ujson as json
except ImportError:
    import json

app = Quart(__name__)
slack = WebClient(token=os.environ.get("SLACK_TOKEN"))
aslack = AsyncWebClient(token=os.environ.get("SLACK_TOKEN"))
SETTINGS = pathlib.Path("settings.json")
_changing = threading.Lock()


class Settings:
    def __init__(self, path: pathlib.Path) -> None:
        self.values = json.loads(path.read_text())

    @classmethod
    def load(cls) -> "Settings":
        return cls(SETTINGS)

    def __getitem__(self, name: str) -> str:
        return self.values[name]


class Journal:
    """Appends a line, whichever way it is written to."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, line: str) -> None:
        with open(self.path, "a") as file:
            file.write(line)

    def __len__(self) -> int:
        return os.stat(self.path).st_size


journal = Journal("journal.log")


@contextmanager
def locked() -> Iterator[None]:
    with portalocker.Lock("admin.lock", timeout=5):
        yield


@contextmanager
def ignoring_gone() -> Iterator[None]:
    with suppress(KeyError):
        yield


@asynccontextmanager
async def scratch() -> AsyncIterator[pathlib.Path]:
    folder = tempfile.mkdtemp()  # expect: blocking-file-io
    yield pathlib.Path(folder)
    await asyncio.to_thread(os.rmdir, folder)  # clean: in a thread


@app.get("/settings")
async def settings() -> dict[str, str]:
    return Settings.load().values  # expect-via: blocking-file-io


@app.post("/settings")
async def change() -> tuple[str, int]:
    values = await request.get_json()
    journal(f"changed {sorted(values)}\n")  # expect-via: blocking-file-io
    with ignoring_gone():  # clean: suppresses an error
        values.pop("secret")
    with open(SETTINGS, "w") as file:  # expect: blocking-file-io
        file.write(json.dumps(values))  # expect: blocking-file-io
    return "", 204


@app.get("/journal")
async def journal_size() -> dict[str, int]:
    return {"bytes": len(journal)}  # expect-via: blocking-file-io


@app.post("/announce")
async def announce() -> tuple[str, int]:
    slack.chat_postMessage(channel="#ops", text="changed")  # expect: blocking-sdk
    return "", 204


@app.post("/announce-well")
async def announce_well() -> tuple[str, int]:
    await aslack.chat_postMessage(channel="#ops", text="changed")  # clean: the async client
    return "", 204


@app.post("/rename")
async def rename() -> tuple[str, int]:
    form = await request.form
    os.replace(form["old"], form["new"])  # expect: blocking-file-io
    suffix = pathlib.PurePath(form["new"]).suffix  # clean: works on strings
    return suffix, 200


@app.post("/lock")
async def exclusive() -> tuple[str, int]:
    with _changing:  # expect: thread-lock-in-async
        await asyncio.sleep(0.1)
    return "", 204


async def metrics(names: list[str]) -> list[int]:
    with httpx.AsyncClient(timeout=5) as client:  # expect: sync-cm-mixed
        answers = [client.get(f"/metrics/{name}") for name in names[:4]]
        return [one.status_code for one in await asyncio.gather(*answers)]


async def mirror(urls: list[str]) -> list[int]:
    async def one(url: str) -> int:
        async with aiohttp.request("GET", url, timeout=aiohttp.ClientTimeout(total=5)) as answer:
            return answer.status

    return await asyncio.gather(*map(one, urls))  # expect: unbounded-gather


async def tick(url: str) -> int:
    client = httpx.AsyncClient(timeout=5)  # expect: unclosed-resource, blocking-file-io
    return (await client.get(url)).status_code


async def two_pages(client: httpx.AsyncClient) -> tuple[str, str]:
    first = await client.get("https://a.example/page")  # expect: sequential-awaits
    second = await client.get("https://b.example/page")
    return first.text, second.text


async def login_then_page(client: httpx.AsyncClient) -> str:
    await client.post("https://a.example/login")  # clean: the page needs the login
    page = await client.get("https://a.example/page")
    return page.text


async def telnet(host: str) -> bytes:
    reader, writer = await asyncio.open_connection(host, 23)  # expect: missing-timeout
    try:
        async with asyncio.timeout(5):
            return await reader.read(100)  # clean: inside asyncio.timeout
    finally:
        writer.close()


def start_backup() -> None:
    def work() -> None:
        with locked():
            Settings.load()

    threading.Thread(target=work).start()  # clean: in a thread


async def backup() -> None:
    start_backup()  # clean: only starts a thread
    await asyncio.get_running_loop().run_in_executor(None, start_backup)  # clean: in the executor
