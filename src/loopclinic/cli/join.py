"""`loopclinic join`: sends this learner's progress to the facilitator's live room until it is ended."""

import argparse
import os
import time

from loopclinic.cli.arguments import refuse
from loopclinic.room.sender import VARIABLE, RoomRefusedError, Sender, line_of


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send your progress, guesses and what checks concluded to the facilitator's live room, until you "
        "press Ctrl-C. No code and no paths are sent, and no name unless you give one."
    )
    shown = "what the facilitator's page shows (default: the room of this hub)"
    parser.add_argument("line", metavar="ADDRESS", nargs="?", help=shown)
    parser.add_argument("--name", default="", help="your name, for all to read (default: none)")


def run(args: argparse.Namespace) -> int:
    """Send until Ctrl-C; on a hub until the learner's server, which started this command, is gone."""
    line, key, started_by = line_of(args.line or ""), "", os.getppid()
    if args.line is None and (hub := os.environ.get(VARIABLE)):
        line, key = (hub, ""), os.environ.get("JUPYTERHUB_API_TOKEN", "")
    if line is None:
        named = f"{args.line!r} is no room's address" if args.line else "Name the room's address"
        return refuse(f"{named}, such as 192.168.1.5:8901/k7q2m9x4twab.")
    print(f"Joining {line[0]}. To leave the room, press Ctrl-C.", flush=True)
    sender = Sender(line, args.name, lambda sentence: print(sentence, flush=True), key)
    try:
        while not key or os.getppid() == started_by:
            time.sleep(sender.step(time.monotonic()))
    except RoomRefusedError as error:
        return refuse(error)
    return 0
