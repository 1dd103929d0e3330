"""What the probe and `loopclinic run` cost a service at 200 requests a second, and one at rest.

    pip install --group peers                  # the peers; whichever is missing is left out
    python benchmarks/price.py [--pairs 20] [--seconds 3] [--rate 200] [--servers aiohttp …] [--only NAME …]

Every variant of a server runs at once. In turn, each gets requests at a fixed rate for a few seconds, and
then rests as long: the processor seconds of its process, and of all beside and above it that watch, are
read before and after by the kernel's clock of each (Linux). A price is the difference to no monitor in the
same round, in percent of a core; the upper end of its 95 % interval is held against what is promised.
About 15 minutes for 20 pairs of both servers.
"""

import argparse
import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import psutil

from loopclinic.servers.server_process import free_port

LIMITS = {"probe": 0.3, "run": 1.0}
"""Percent of a core more, under load."""
IDLE = 0.3
"""Percent of a core more, at rest."""
STUDENT = {5: 2.776, 10: 2.262, 20: 2.093}
"""Quantiles of Student's t for the 95 % interval of so many differences; between them, the wider."""
PY_SPY = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
SERVER = """
import asyncio, contextlib, sys

@contextlib.asynccontextmanager
async def watched(name):
    if name == "probe":
        from loopclinic import Probe
        with Probe():
            yield
    elif name == "asynclens":
        from asynclens import AsyncWatchdog
        async with AsyncWatchdog(threshold_ms=50):
            yield
    else:
        yield

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

async def main(kind, port, name):
    async with watched(name):
        if kind == "aiohttp":
            from aiohttp import web
            async def answer(request):
                return web.Response(body=b"ok")
            site = web.Application()
            site.router.add_get("/", answer)
            runner = web.AppRunner(site, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            await asyncio.Event().wait()
        else:
            import uvicorn
            options = uvicorn.Config(app, port=port, log_level="error", access_log=False, lifespan="off")
            await uvicorn.Server(options).serve()

kind, port, name = sys.argv[1:]
if kind == "uvicorn":
    import uvloop
    uvloop.run(main(kind, int(port), name))
else:
    asyncio.run(main(kind, int(port), name))
"""


def variants() -> dict[str, str]:
    """Return why each variant can't be had here, empty where it can."""
    sampling = "" if sys.version_info >= (3, 15) else "comes with Python 3.15"
    return {
        "none": "",
        "probe": "",
        "run": "",
        "asynclens": "" if find_spec("asynclens") else "not installed",
        "py-spy": "" if PY_SPY else "not installed",
        "profiling.sampling": sampling,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load, and as many of rest")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--servers", nargs="+", default=["aiohttp", "uvicorn"])
    parser.add_argument("--only", nargs="+", default=[*variants()])
    args = parser.parse_args()
    for name, missing in variants().items():
        if missing and name in args.only:
            print(f"Left out: {name}, {missing}")
    names = [name for name, missing in variants().items() if not missing and name in args.only]
    names = ["none", *(name for name in names if name != "none")]
    kept = True
    for server in args.servers:
        on = "uvicorn on uvloop" if server == "uvicorn" else server
        print(f"\n{on}, {args.pairs} pairs of {args.seconds:.0f} s at {args.rate:.0f} requests/s")
        with tempfile.TemporaryDirectory() as folder:
            kept &= told(measured(server, names, args, Path(folder)), names)
    sys.exit(not kept)


def measured(
    server: str, names: list[str], args: argparse.Namespace, folder: Path
) -> dict[str, dict[str, list[float]]]:
    """Return the share of a core that each variant took in each round, under load and at rest."""
    (folder / "server.py").write_text(SERVER, "utf-8")
    found = {name: {"load": [], "idle": []} for name in names}
    with contextlib.ExitStack() as stack:
        ports, families = {}, {}
        for name in names:
            ports[name] = free_port()
            families[name] = started(stack, server, ports[name], name, folder)
        for port in ports.values():
            answers(port)
        time.sleep(3)  # what they do once only
        for number in range(args.pairs):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                for state in ("load", "idle"):
                    before, began = used(families[name]), time.perf_counter()
                    if state == "load":
                        asyncio.run(load(ports[name], args.rate, args.seconds))
                    else:
                        time.sleep(args.seconds)
                    seconds = time.perf_counter() - began
                    found[name][state].append((used(families[name]) - before) / seconds)
    return found


def started(
    stack: contextlib.ExitStack, server: str, port: int, name: str, folder: Path
) -> list[psutil.Process]:
    """Start one variant; return its processes, and whatever watches from outside."""
    program = [str(folder / "server.py"), server, str(port), name]
    command = [sys.executable, *program]
    if name == "run":
        command = [sys.executable, "-m", "loopclinic", "run", "--quiet", *program]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL)]
    stack.callback(ended, processes[0])
    answers(port)
    pid = str(processes[0].pid)
    out = str(folder / f"{server}.{name}")
    watch = {
        "py-spy": [PY_SPY, "record", "-f", "raw", "-o", out, "-d", "7200", "--pid", pid],
        "profiling.sampling": [
            *(sys.executable, "-m", "profiling.sampling", "attach"),
            *("-d", "7200", "--collapsed", "-o", out, pid),
        ],
    }.get(name)
    if watch is not None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes.append(subprocess.Popen(watch, **quiet))
        stack.callback(ended, processes[1])
    family = [psutil.Process(one.pid) for one in processes]
    return [*family, *(child for one in family for child in one.children(recursive=True))]


def ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    process.kill()
    process.wait()


def used(family: list[psutil.Process]) -> float:
    """Return the processor seconds of processes by the kernel's own clock of each, to the nanosecond."""
    return sum(time.clock_gettime(~one.pid << 3 | 2) for one in family)


async def load(port: int, rate: float, seconds: float, connections: int = 8) -> None:
    """Ask at a fixed rate, whether earlier requests were answered or not, on connections that stay open."""
    loop = asyncio.get_running_loop()
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
    got: list[int] = []
    reading = [asyncio.create_task(drain(reader, got)) for reader, _ in opened]
    began = loop.time()
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
        opened[number % connections][1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(max(0.0, began + seconds - loop.time()))
    while sum(got) < round(rate * seconds):
        if loop.time() > began + seconds + 10:
            raise SystemExit(f"{sum(got)} answers to {rate * seconds:.0f} requests")
        await asyncio.sleep(0.01)
    for _, writer in opened:
        writer.close()
    await asyncio.gather(*reading)


async def drain(reader: asyncio.StreamReader, got: list[int]) -> None:
    """Count the answers that come until the connection is closed."""
    while data := await reader.read(1 << 16):
        got.append(data.count(b"HTTP/1.1 200"))


def answers(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if time.monotonic() > end:
            raise SystemExit(f"nothing answers at port {port}")
        time.sleep(0.1)


def told(found: dict[str, dict[str, list[float]]], names: list[str]) -> bool:
    """Print the prices; return whether every promise was kept."""
    kept = True
    for state in ("load", "idle"):
        base = found["none"][state]
        print(f"  {state}: no monitor takes {mean(base):.2%} of a core")
        for name in names[1:]:
            more = [100 * (own - none) for own, none in zip(found[name][state], base, strict=True)]
            low, high = interval(more)
            limit = LIMITS.get(name) if state == "load" else IDLE if name in LIMITS else None
            said = ""
            if limit is not None:
                kept &= high <= limit
                word = "as promised" if high <= limit else "NOT as promised"
                said = f", at most {limit} ({word})"
            print(f"    {name}: {mean(more):.2f} % more ({low:.2f} to {high:.2f}){said}")
    return kept


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean, by Student's t."""
    if len(values) < min(STUDENT):
        return min(values), max(values)
    t = STUDENT[max(size for size in STUDENT if size <= len(values))]
    half = t * stdev(values) / sqrt(len(values))
    return mean(values) - half, mean(values) + half


if __name__ == "__main__":
    main()
