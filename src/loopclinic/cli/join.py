"""`loopclinic join`: sends this learner's progress to the facilitator's live room until it is ended."""

import argparse
import time

from loopclinic.cli.arguments import refuse
from loopclinic.room.sender import RoomRefusedError, Sender, line_of


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send your progress, guesses and what checks concluded to the facilitator's live room, until you "
        "press Ctrl-C. No code and no paths are sent, and no name unless you give one."
    )
    parser.add_argument("line", metavar="ADDRESS", help="what the facilitator's page shows")
    parser.add_argument("--name", default="", help="your name, for all to read (default: none)")


def run(args: argparse.Namespace) -> int:
    """Send until Ctrl-C."""
    line = line_of(args.line)
    if line is None:
        return refuse(f"{args.line!r} is no room's address, such as 192.168.1.5:8901/k7q2m9x4twab.")
    print(f"Joining {line[0]}. To leave the room, press Ctrl-C.", flush=True)
    sender = Sender(line, args.name, lambda sentence: print(sentence, flush=True))
    try:
        while True:
            time.sleep(sender.step(time.monotonic()))
    except RoomRefusedError as error:
        return refuse(error)
