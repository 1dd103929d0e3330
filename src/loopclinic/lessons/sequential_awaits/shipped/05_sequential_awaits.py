"""Lab 05: the loop is idle, and the user still waits.

A chat service delivers its events in batches: messages, and some without a text, such as "seen". Each
needs one request upstream, made by `handle`. `process` awaits them one after another: nothing blocks, and
the last customer waits for all others. It keeps six of these promises. Keep them, and the sixth, too.

What `process` must do when you are done:

1. `handle(message)` is awaited once for each message of the batch, whatever its text, and `process`
   returns when all of these requests are over.
2. Messages of one sender are handled in the order of the batch, one at a time: the next one begins
   when the one before it is over. Neither ids nor texts say anything of that order.
3. At most `limit` messages are handled at once.
4. A message that fails stops nothing else: neither other senders nor the later messages of its own.
5. `Outcome.replies` has what `handle` returned, by the message's id, and `failed` the exception that it
   raised. A failed message is not handled again.
6. No message waits while there is a place for it and its sender's message before it is over. A batch
   takes as long as its longest sender, or as all its messages shared among `limit` places.
7. When cancelled, `process` ends with CancelledError, and every request that it began is over by then.

Keep these names and signatures: `Message`, `Outcome`, `process`. The rest is yours to change.

How it is judged: `loopclinic check 05`, or `loopclinic watch 05` for a verdict on every save. The check
plays a hundred batches in virtual time, half of them with requests that fail, and names the smallest
one that breaks a promise. Eight batches of known shape may take 1.25 times what their shape asks for. A
cancelled call has 0.5 s, including the time that a request needs to end.
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
