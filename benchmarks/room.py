"""Try deploy/jupyterhub with learners at once: their notebooks, labs and checks, and what must be refused.

    python benchmarks/room.py [--learners 12] [--hostile] [--json FILE] [--page docs/jupyterhub.md]

Run it as root, on Linux, with the Python of an environment that has the kit's wheel and deploy/jupyterhub's
requirements. Other accounts must be able to run that Python; configurable-http-proxy must be on PATH. It makes a
system account for each learner, a PostgreSQL and a Valkey for the room, and a hub, and removes them. Learners
work through the hub's API and the websockets of their kernels. `--hostile` makes the attempts of a hostile
learner alone. The exit status is 1 if a verdict is wrong, an attempt succeeds or something is left.
"""

import argparse
import asyncio
import contextlib
import csv
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg
import redis
from room_attempts import attempts
from room_hub import IDLE, Room, processes_of, room
from room_learner import LAB, NOTEBOOKS, ROOT, Learner, Server
from room_page import put_into, table

from loopclinic.paths import shipped_kit

_LONGEST = 1500.0
"""Seconds that the learners' hour may take."""


async def day(made: Room, learner: Learner, session: aiohttp.ClientSession) -> None:
    """Spend a learner's first hour, without the pauses: 00, 01, the lab as it ships, the lab repaired."""
    server = Server(made, learner, session)
    try:
        async with asyncio.timeout(_LONGEST):
            await server.start()
            for name in NOTEBOOKS:
                async with server.kernel(name) as kernel:
                    await kernel.notebook(name)
            async with server.kernel("lab") as kernel:
                await kernel.check("not-yet")
                await server.save_lab((ROOT / "solutions" / f"{LAB}.py").read_text())
                await kernel.check("passed")
    except Exception as error:  # the others go on, and the table tells
        learner.errors.append(f"{type(error).__name__}: {error}")


async def trial(made: Room, kept: dict[str, Any], *, hostile: bool) -> list[Learner]:
    """Return what became of the learners; note in `kept` who was in the live room."""
    people = [Learner(name) for name in made.learners]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=900)) as session:
        if not hostile:
            watching = asyncio.create_task(_watch_memory(people))
            await asyncio.gather(*(day(made, one, session) for one in people))
            watching.cancel()

        async def wake(some: list[Learner]) -> None:
            for one in some:  # the hub may have ended them, with others still at work
                await Server(made, one, session).start()

        await wake(people[:2] + people[-1:])
        learners = 1 if hostile else len(people) - 1  # the last is the facilitator
        live = {"there": await _in_room(made, people[-1], session, learners, passed=not hostile)}
        for process in psutil.process_iter(["cmdline", "username"]):
            if process.info["username"] == "nobody" and "room" in (process.info["cmdline"] or ()):
                process.kill()
        # Only whose server still runs comes back.
        live["back"] = await _in_room(made, people[-1], session, min(2, learners), passed=False)
        kept["live_room"] = live
        await wake(people[:2])
        await attempts(made, people[0], people[1], session)
        return people


async def _in_room(
    made: Room, facilitator: Learner, session: aiohttp.ClientSession, many: int, *, passed: bool
) -> int:
    """Return how many learners the grade book has, once they are so many or a minute has passed."""
    server, rows = Server(made, facilitator, session), []
    for _ in range(60):
        with contextlib.suppress(aiohttp.ClientError):  # it starts again after it was killed
            url = f"{made.url}/services/room"
            key = (await server.ask("GET", "/key", url=url))["key"]
            text = await server.ask("GET", f"/grades.csv?key={key}", url=url)
            rows = [*csv.DictReader(text.splitlines())]
            if len(rows) >= many and (not passed or all(one["01 lab"] for one in rows)):
                break
        await asyncio.sleep(1)
    return len(rows)


async def _watch_memory(people: list[Learner]) -> None:
    of = {pwd.getpwnam(one.name).pw_uid: one for one in people}
    while True:
        used = dict.fromkeys(of, 0)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if (number := process.uids().real) in of:
                    used[number] += process.memory_full_info().pss
        for number, one in of.items():
            one.memory = max(one.memory, used[number])
        await asyncio.sleep(10)


def left_after_culling(made: Room, people: list[Learner]) -> dict[str, float]:
    """Wait until the hub has ended the learners' servers; return what is left of them."""
    ends, began = time.monotonic() + 4 * IDLE, time.monotonic()
    while time.monotonic() < ends and any(processes_of(one.name) for one in people):
        time.sleep(2)
    numbers = {pwd.getpwnam(one.name).pw_uid for one in people}
    with psycopg.connect(made.postgres) as admin:
        row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'learner%'")
        connections = row.fetchone()[0]
    clients = redis.Redis.from_url(made.valkey).execute_command("CLIENT", "LIST")
    return {
        "seconds until all servers had ended": time.monotonic() - began,
        "processes": sum(len(processes_of(one.name)) for one in people),
        "connections to PostgreSQL": connections,
        "connections to Valkey": str(clients).count("user=learner"),
        "folders in /tmp": sum(one.lstat().st_uid in numbers for one in Path("/tmp").iterdir()),  # noqa: S108
    }


def wrong_of(people: list[Learner], kept: dict[str, Any]) -> list[str]:
    """Return what went wrong: errors, wrong verdicts, who was not in the room, attempts, what is left."""
    found = [f"{one.name}: {error}" for one in people for error in one.errors]
    for one in people:
        # The last on each version of the lab: those before it came from a machine that was too busy.
        last = {verdict["expected"]: verdict["status"] for verdict in one.verdicts}
        for expected, status in last.items():
            if status != expected:
                found.append(f"{one.name}: {status} instead of {expected}")
    live, least = kept["live_room"], 1 if kept["hostile"] else len(people) - 1
    if live["there"] < least or live["back"] < min(2, least):
        found.append(f"in the live room: {live}")
    found += [f"not refused: {what}" for what, said in people[0].refused.items() if not said]
    return found + [f"left: {what}" for what, number in [*kept["left"].items()][1:] if number]


def main() -> int:
    """Try the room, print its table; return 1 if something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=max(1, (os.cpu_count() or 1) // 2))
    parser.add_argument("--hostile", action="store_true", help="only a hostile learner's attempts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep what was measured")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into this page")
    args = parser.parse_args()
    if args.hostile and args.page:
        parser.error("--page takes a whole trial, without --hostile")
    if os.geteuid() != 0 or args.learners < 2:
        parser.error("run it as root, with two learners or more")
    if shipped_kit() is None:
        parser.error("install the kit's wheel (make dist), for learners have no clone")
    nobody = pwd.getpwnam("nobody").pw_uid
    if subprocess.run(["test", "-x", sys.executable], user=nobody, check=False).returncode:
        parser.error(f"other accounts can't run {Path(sys.executable).resolve()}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # removes what was made
    kept: dict[str, Any] = {"busy_before": psutil.cpu_percent(2), "at_once": args.at_once}
    kept |= {"cores": os.cpu_count(), "hostile": args.hostile}
    with room(args.learners, args.at_once) as made:
        people = asyncio.run(trial(made, kept, hostile=args.hostile))
        kept["left"] = {} if args.hostile else left_after_culling(made, people)
    kept["wrong"] = wrong_of(people, kept)
    kept["learners"] = [vars(one) | {"token": "", "places": sorted(one.places)} for one in people]
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1))
    if not args.hostile:
        print(table(kept))
    if args.page:
        put_into(args.page, kept)
    for what, said in people[0].refused.items():
        print(f"  {what}: {said or 'NOT REFUSED'}")
    print(*kept["wrong"], sep="\n")
    return int(bool(kept["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
