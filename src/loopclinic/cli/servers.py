"""`loopclinic servers up|status|down`: starts, shows and stops PostgreSQL servers of the kit."""

import argparse
import json
import os
import sys
import time
from typing import Any

from loopclinic.cli.arguments import refuse
from loopclinic.servers.postgres import VARIABLE, ServerError, down, status, up


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Each notebook and each check starts its own PostgreSQL within a second and stops it at its end. "
        "`up` starts one that all of them share until `down`."
    )
    parser.add_argument("action", nargs="?", choices=tuple(_ACTIONS), default="status")
    parser.add_argument("--json", action="store_true", help="print what status shows as JSON")
    force = "with down: stop every server, even if in use"
    parser.add_argument("--force", action="store_true", help=force)


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 if what was to end is in use, 2 if PostgreSQL can't be had."""
    try:
        return _ACTIONS[args.action](args)
    except ServerError as error:
        return refuse(error)


def _up(args: argparse.Namespace) -> int:
    if _elsewhere():
        found = status()
        idle = f"Nothing to start: {VARIABLE} names {found['address']}, which answers."
        print(json.dumps(found) if args.json else idle)
        return 0
    began = time.perf_counter()
    address = up()
    seconds = time.perf_counter() - began
    if args.json:
        print(json.dumps({"address": address, **status()}))
    else:
        print(f"PostgreSQL has started ({seconds:.1f} s). To stop it: loopclinic servers down")
        print(f"{VARIABLE}={address}")
    return 0


def _status(args: argparse.Namespace) -> int:
    found = status()
    if args.json:
        print(json.dumps(found))
    elif not found["running"]:
        print("No PostgreSQL is running. Notebooks and checks start one when they need it.")
    elif found["way"] == "address":
        print(f"PostgreSQL {found['version']} at {found['address']}, which {VARIABLE} names")
        print(f"  up         {_duration(found['uptime'])}")
        _print_databases(found["databases"])
    else:
        for one in found["servers"]:
            _print_server(one)
    return 0


def _down(args: argparse.Namespace) -> int:
    began = time.perf_counter()
    used = down(force=args.force)
    seconds = time.perf_counter() - began
    if args.json:
        print(json.dumps({"ended": used == [], "in_use": used or []}))
    elif used is None:
        print("No PostgreSQL started by servers up is running.")
    elif used:
        names = ", ".join(one["name"] for one in used)
        print(f"PostgreSQL is still in use by {names}. To stop it anyway, add --force.")
    else:
        print(f"PostgreSQL has stopped ({seconds:.1f} s).")
    if _elsewhere():
        print(f"{VARIABLE} is set: that server is yours, and was left alone.", file=sys.stderr)
    return 1 if used else 0


def _elsewhere() -> bool:
    return bool(os.environ.get(VARIABLE, "").strip())


def _print_server(one: dict[str, Any]) -> None:
    owner = "servers up" if one["held"] else f"{one['label']}, process {one['pid']}"
    print(f"PostgreSQL {one['version']} at {one['address']}")
    print(f"  owner      {owner}")
    print(f"  up         {_duration(time.time() - one['since'])}")
    print(f"  binaries   {one['binaries']}, run as {one['account']}")
    print(f"  files      {one['folder']} ({one['bytes'] / 1e6:.0f} MB)")
    if "databases" in one:
        _print_databases(one["databases"])


def _print_databases(databases: list[dict[str, Any]]) -> None:
    print(f"  databases  {len(databases)}")
    for one in databases:
        size = "" if one["bytes"] is None else f"{one['bytes'] / 1e6:.0f} MB, "
        print(f"             {one['name']}: {size}{one['connections']} connections")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


_ACTIONS = {"up": _up, "status": _status, "down": _down}
