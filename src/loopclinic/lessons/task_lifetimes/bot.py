"""The bot of lesson 11, a process of its own: it prints photos, each in a job that a way of the ladder starts.

Run as `python -m loopclinic.lessons.task_lifetimes.bot`, with its orders as one line of JSON on stdin.
"""

import json
import logging
import sys
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any

from telegram import Update
from telegram.ext import Application, MessageHandler, filters

from loopclinic.load.by_value import unpack_value

Job = Callable[[], Awaitable[None]]
Way = Callable[["Application[Any, Any, Any, Any, Any, Any]"], Callable[[Job, Update], object]]
"""`way(application)` returns `start(job, update)`, which starts a job and returns at once."""

ON_IT, READY, SORRY, AGAIN = "On it.", "Your print is ready.", "Sorry, it failed.", "Send it again."
FIFTH = 5
"""Every fifth customer has a photo that no paper fits."""


class PaperError(Exception):
    """There is no paper of that size."""


async def print_photo(update: Update) -> None:
    """Print, and tell the customer how it ended: also of a failure, and of a cancellation."""
    message = update.effective_message
    assert message is not None
    asked = {"customer": message.chat_id}
    try:
        await update.get_bot().do_api_request("print", asked, read_timeout=60)
    except CancelledError:
        await message.reply_text(AGAIN)
        raise
    if message.chat_id % FIFTH == 0:
        await message.reply_text(SORRY)
        raise PaperError(f"no paper for customer {message.chat_id}")
    await message.reply_text(READY)


def main() -> None:
    """Run the bot until it is sent SIGTERM."""
    logging.basicConfig(format="%(created).3f %(name)s: %(message)s", level=logging.ERROR)
    order = json.loads(sys.stdin.readline())
    builder = Application.builder().token("1:none").base_url(order["url"])
    app = builder.concurrent_updates(True).build()
    start = unpack_value(order["way"])(app)

    async def on_photo(update: Update, _: object) -> None:
        message = update.effective_message
        assert message is not None
        start(lambda: print_photo(update), update)
        await message.reply_text(ON_IT)

    app.add_handler(MessageHandler(filters.ALL, on_photo))
    app.run_polling(bootstrap_retries=0)


if __name__ == "__main__":
    main()
