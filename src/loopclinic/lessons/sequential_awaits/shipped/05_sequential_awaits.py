"""Lab 05: the loop is idle, and the user still waits.

A chat service delivers its events in batches: messages, and events without a text, such as "seen". Each
needs one request upstream, which `handle` makes. `process` awaits them one after another: nothing blocks,
but the last customer waits for all the others. All promises below are kept but the sixth. Keep it, too.

What `process` must do when you are done:

1. `handle(message)` is awaited once for each message of the batch, whatever its text, and `process`
   returns once all of these requests are over.
2. Messages of one sender are handled in the order of the batch, one at a time: the next one begins
   once the one before it is over. Ids and texts say nothing about that order.
3. At most `limit` messages are handled at once.
4. A message that fails stops no other: neither those of other senders nor later ones of its own sender.
5. `Outcome.replies` holds what `handle` returned, by message id, and `Outcome.failed` the exceptions that
   it raised. A failed message is not handled again.
6. No message waits once there is a place for it and its sender's message before it is over. A batch takes
   as long as its busiest sender's messages in a row, or as all of them shared among `limit` places.
7. When cancelled, `process` ends with CancelledError, and every request that it began is over by then.

Keep these names and signatures: `Message`, `Outcome`, `process`. The rest is yours to change.

How it is judged: `loopclinic check 05`, or `loopclinic watch 05` for a verdict on every save. The check
plays a hundred batches in virtual time, half of them with requests that fail, and names the smallest
one that breaks a promise. Eight batches of known shape may take 1.25 times as long as the sixth promise
says. A cancelled call has 0.5 s to end, including the time that a request needs for that.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """What a sender wrote; None for an event without a text."""

    id: int
    sender: str
    text: str | None


@dataclass
class Outcome:
    """What became of a batch, by message id."""

    replies: dict[int, str] = field(default_factory=dict)
    failed: dict[int, Exception] = field(default_factory=dict)


async def process(
    batch: Sequence[Message], handle: Callable[[Message], Awaitable[str]], *, limit: int = 10
) -> Outcome:
    """Handle all messages of a batch, `limit` at a time."""
    del limit  # one at a time is never too many
    outcome = Outcome()
    for message in batch:
        try:
            outcome.replies[message.id] = await handle(message)
        except Exception as error:
            outcome.failed[message.id] = error
    return outcome
