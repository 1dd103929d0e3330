"""Memory of a real aiohttp server under load, with a probe left on and without, side by side.

    python benchmarks/soak.py [--minutes 10] [--rate 200] [--plot FILE]

Both servers get the same requests, one in ten of which stalls the loop for 12 ms, so that stalls,
budgets and exported metrics go on all the time and the thousand stalls that a probe keeps are soon
there. Memory has to stay flat once it is warm: the last third of the run may not lie over the middle
one by more than 2 MB.
"""

import argparse
import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import psutil
from aiohttp import ClientError, ClientSession, ClientTimeout, web

import loopclinic
from loopclinic.export import to_prometheus

KINDS = ("bare", "probed")
STALL, THRESHOLD = 0.012, 0.01
ALLOWED = 2.0  # MB
MIB = 1 << 20


async def serve(kind: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.query.get("n", "").endswith("0"):
            time.sleep(STALL)  # noqa: ASYNC251 - what the probe is there to see
        await asyncio.sleep(0.002)
        return web.Response(text="ok")

    async def metrics(_: web.Request) -> web.Response:
        from prometheus_client import generate_latest  # the bare server has none

        return web.Response(body=generate_latest())

    async def report(_: web.Request) -> web.Response:
        found = probe.report()
        return web.json_response({"utilization": found.utilization, "kept": len(found.stalls)})

    app = web.Application()
    app.router.add_get("/", answer)
    if kind == "probed":
        logging.getLogger("loopclinic").addHandler(logging.NullHandler())
        logging.getLogger("loopclinic").propagate = False
        probe = loopclinic.Probe(threshold=THRESHOLD, budget=THRESHOLD).start()
        to_prometheus(probe)
        app.router.add_get("/metrics", metrics)
        app.router.add_get("/report", report)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until its parent is gone


class Server:
    """One server in a process of its own, and what was seen of its memory."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"
        self.seen = psutil.Process(self.process.pid)
        self.memory: list[tuple[float, float]] = []
        self.answered = self.failed = 0

    async def ask(self, session: ClientSession, number: int) -> None:
        try:
            async with session.get(f"{self.url}/?n={number}") as response:
                await response.read()
            self.answered += 1
        except (ClientError, TimeoutError):
            self.failed += 1

    def look(self, at: float) -> None:
        self.memory.append((at, self.seen.memory_info().rss / MIB))

    def third(self, index: int) -> float:
        many = len(self.memory) // 3
        return median(rss for _, rss in self.memory[index * many : (index + 1) * many])


async def load(servers: list[Server], seconds: float, rate: float) -> None:
    """Send requests on a schedule, answered or not, and look at both servers every second."""
    asked: set[asyncio.Task[None]] = set()
    began = time.perf_counter()
    number, looked = 0, -1.0
    async with ClientSession(timeout=ClientTimeout(total=10)) as session:
        while (now := time.perf_counter() - began) < seconds:
            while number / rate <= now:
                number += 1
                for server in servers:
                    task = asyncio.create_task(server.ask(session, number))
                    asked.add(task)
                    task.add_done_callback(asked.discard)
            if now - looked >= 1:
                looked = now
                for server in servers:
                    server.look(now)
                async with session.get(f"{servers[-1].url}/metrics") as response:
                    await response.read()
            await asyncio.sleep(0.005)
        await asyncio.gather(*asked)
        async with session.get(f"{servers[-1].url}/report") as response:
            print(f"\nthe probe, in the end: {await response.json()}")


def draw(servers: list[Server], file: Path) -> None:
    from matplotlib.figure import Figure  # only with --plot

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="seconds", ylabel="resident memory, MB")
    for server, style in zip(servers, ("--", "-"), strict=True):
        axes.plot(*zip(*server.memory, strict=True), style, label=server.kind)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.savefig(file)
    print(f"drawn to {file}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=200, help="requests a second, to each")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.serve))
        return
    servers = [Server(kind) for kind in KINDS]
    try:
        asyncio.run(load(servers, args.minutes * 60, args.rate))
        print(f"\n{'':8}{'answered':>10}{'failed':>8}{'thirds of the run, MB':>30}{'growth':>10}")
        for server in servers:
            first, middle, last = (server.third(index) for index in range(3))
            thirds = f"{first:.1f}  {middle:.1f}  {last:.1f}"
            counts = f"{server.answered:>10}{server.failed:>8}"
            print(f"{server.kind:8}{counts}{thirds:>30}{last - middle:>+9.2f}")
        probed = servers[-1]
        growth = probed.third(2) - probed.third(1)
        extra = probed.third(2) - servers[0].third(2)
        flat = "flat, as promised" if growth <= ALLOWED else "NOT flat"
        print(f"\nwith the probe: {growth:+.2f} MB from the middle third to the last, {flat};")
        print(f"{extra:+.1f} MB against the bare server, which imports the same")
        times = [server.seen.cpu_times() for server in servers]
        bare, watched = (time.user + time.system for time in times)
        print(f"processor time {watched / bare:.2f} times that of the bare server")
        if args.plot:
            draw(servers, args.plot)
    finally:
        for server in servers:
            server.process.kill()
            server.process.wait()


if __name__ == "__main__":
    main()
