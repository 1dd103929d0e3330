"""`loopclinic room`: serves a live room on the facilitator's computer until Ctrl-C."""

import argparse
import asyncio
import contextlib
import os
import socket
import webbrowser
from pathlib import Path

from aiohttp import web

from loopclinic.cli.arguments import refuse, unwritable, write
from loopclinic.lessons.start_here.lesson_plans import ROUTES
from loopclinic.room.hub import Hub, page_on_hub
from loopclinic.room.live_room import LiveRoom, RefusedError
from loopclinic.room.room_page import grade_book, live_part
from loopclinic.room.sender import VARIABLE, line_of
from loopclinic.room.web import runner

_ALL = "0.0.0.0"  # noqa: S104 - learners come from other computers


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show where a room stands: learners paste one line each, and the page shows where they are, what "
        "they guessed, and what to ask those who are stuck. Nothing is sent out of the room."
    )
    names = [one.name for one in ROUTES]
    plan = "route of loopclinic list to compare minutes with (default: a day)"
    parser.add_argument("--plan", choices=names, default="a day", metavar="ROUTE", help=plan)
    parser.add_argument("--host", default=_ALL, help="address to listen on (default: all)")
    free = "port to listen on (default: a free one)"
    parser.add_argument("--port", type=int, default=0, help=free)
    address = "address at which learners reach the room, if a proxy or tunnel leads to it"
    parser.add_argument("--url", metavar="URL", help=address)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the grade book at the end")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; on a hub with a room, show a facilitator its page instead."""
    if VARIABLE in os.environ:
        try:
            print(f"Your page, for you alone:  {page_on_hub()}")
        except RefusedError as error:
            return refuse(error)
        return 0
    if args.url and line_of(f"{args.url}/{'x' * 12}") is None:
        return refuse(f"--url {args.url} is no address, such as https://room.example.org/kit.")
    if reason := unwritable(args.csv):
        return refuse(reason)
    if not 0 <= args.port <= 65535:
        return refuse(f"--port {args.port} is no port: name one up to 65535, or leave it out.")
    room = LiveRoom(next(one for one in ROUTES if one.name == args.plan))
    live_part(room)  # reads templates and questions once, before there is a loop
    try:
        asyncio.run(_serve(room, args))
    except KeyboardInterrupt:
        print(flush=True)
    except OSError as error:
        return refuse(f"{args.host}, port {args.port}: {error}. Name others by --host and --port.")
    return 0 if args.csv is None or write(args.csv, grade_book(room)) else 2


async def _serve(room: LiveRoom, args: argparse.Namespace) -> None:
    hub, url = Hub() if "JUPYTERHUB_SERVICE_NAME" in os.environ else None, args.url
    with socket.create_server((args.host, args.port)) as listening:
        port = listening.getsockname()[1]
        here, there = ("127.0.0.1", _own_address()) if args.host == _ALL else (args.host, args.host)
        line = f"{url.rstrip('/') if url else f'{there}:{port}'}/{room.token}"
        serving = runner(room, "" if hub else line, hub)
        await serving.setup()
        await web.SockSite(serving, listening).start()
        page = f"http://{here}:{port}/?key={room.view}"
        if hub:
            print("A facilitator gets the page by `loopclinic room` in a terminal.", flush=True)
        else:
            print(f"Your page, for you alone:  {page}")
            print(f"Each learner pastes:       loopclinic join {line}")
            print("To end the room, press Ctrl-C.", flush=True)
        try:
            if not (hub or args.no_browser):
                await asyncio.to_thread(webbrowser.open, page)
            await asyncio.Event().wait()
        finally:
            await serving.cleanup()


def _own_address() -> str:
    """Return this computer's address on its network, 127.0.0.1 without one; nothing is sent for it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))  # of an example network (RFC 5737): the route is looked up
        return str(asking.getsockname()[0])
    return "127.0.0.1"
