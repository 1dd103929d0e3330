"""Cards: the question of each Predict, asked again with other numbers, and its answer worked out from them."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from loopclinic.drawing.tables import span
from loopclinic.recall.guesses import Guess, Guesses

_PAUSES = range(50, 401, 50)
_FEW = range(2, 10)


@dataclass(frozen=True)
class Card:
    """The card of one lesson: what the notebook asked begins with `asked`, and counts in `unit`.

    `question` and `why` have the drawn `numbers` in braces; `answer` takes those by name. A tolerance of
    `guesses.CLOSE` is left to who answers.
    """

    lesson: str
    asked: str
    unit: str
    question: str
    why: str
    numbers: Mapping[str, Sequence[int]]
    answer: Callable[..., float]


@dataclass(frozen=True)
class Drawn:
    """A card with numbers: its question, its answer in the card's unit, and why that is so."""

    card: Card
    question: str
    answer: float
    why: str

    @property
    def words(self) -> str:
        """The answer with its unit."""
        return in_words(self.answer, self.card.unit)


def in_words(value: float, unit: str) -> str:
    """Return a number with its unit; seconds as s or ms."""
    if unit == "s":
        return span(value)
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def draw(card: Card, rng: random.Random) -> Drawn:
    """Return the card with numbers drawn anew."""
    given = {name: rng.choice(values) for name, values in card.numbers.items()}
    question, why = (text.format_map(given) for text in (card.question, card.why))
    return Drawn(card, question, float(card.answer(**given)), why)


def card_of(question: str) -> Card | None:
    """Return the card of what a notebook asked; None for a question that is none of the kit's."""
    return next((one for one in CARDS if question.startswith(one.asked)), None)


def waiting(kept: Guesses) -> list[tuple[datetime, Card, Guess]]:
    """Return each wrong guess that has a card, and when it is due, the first due first."""
    found = [
        (one.due_at, card, one)
        for one in kept.values()
        if one.due_at is not None and (card := card_of(one.question)) is not None
    ]
    return sorted(found, key=lambda one: (one[0], one[1].lesson))


CARDS = (
    Card(
        "01",
        "120 callers arrive within three seconds",
        "s",
        "{callers} callers of one event loop must retry at the same moment. Each calls time.sleep for "
        "{pause} ms first; nothing else takes time. How long does the caller wait who arrives just after them?",
        "time.sleep keeps the loop, so the pauses add up: {callers} of {pause} ms.",
        {"callers": range(3, 40), "pause": _PAUSES},
        lambda callers, pause: callers * pause / 1000,
    ),
    Card(
        "02",
        "Audits arrive faster than they can be served",
        "/s",
        "A synchronous driver is called on the event loop. A query takes {query} ms, and the pool has "
        "{connections} connections. How many queries per second get done, at most?",
        "The loop runs one query at a time, {query} ms each, however many connections there are.",
        {"connections": range(5, 51, 5), "query": (2, 4, 5, 8, 10, 16, 25, 40)},
        lambda connections, query: 1000 / query,  # noqa: ARG005
    ),
    Card(
        "03",
        "A few hundred webhooks, SIGTERM in the middle",
        "updates",
        "{rate} webhooks per second are answered 204 at once; a daemon thread writes each one {delay} ms "
        "later. SIGTERM ends the process. How many of the answered updates are in no table?",
        "Those of the last {delay} ms: they were answered and not yet written.",
        {"rate": range(20, 201, 20), "delay": range(100, 2001, 100)},
        lambda rate, delay: rate * delay / 1000,
    ),
    Card(
        "04",
        "How many of 2,000 are published?",
        "posts",
        "A service works on {places} requests at once and refuses the others at once. gather sends it "
        "{posts} posts in one moment, and nobody retries. How many are published?",
        "{places} find a place. What is refused is never sent again.",
        {"places": range(5, 61, 5), "posts": range(500, 5001, 500)},
        lambda places, posts: places,  # noqa: ARG005
    ),
    Card(
        "05",
        "Six at once: how many times as fast?",
        "times",
        "{others} people sent one message each, and one more person sent {chain}. Each takes equally long, "
        "those of one person stay in order, and {limit} may be under way. How many times as fast as one by "
        "one, at best?",
        "The {chain} messages of one person take their time one after another, whatever runs beside them.",
        {"others": range(6, 25), "chain": range(12, 25), "limit": range(4, 11)},
        lambda others, chain, limit: (others + chain) / max(chain, -(-(others + chain) // limit)),
    ),
    Card(
        "06",
        "How long does that lookup wait?",
        "ms",
        "Somebody has just called asyncio.to_thread for {uploads} uploads of {upload} ms each. The loop's "
        "shared pool has {threads} threads, and a name lookup needs one of them. How long does it wait?",
        "It stands behind all uploads: {threads} of them end every {upload} ms.",
        {"uploads": range(20, 81), "upload": range(100, 501, 50), "threads": range(4, 13)},
        lambda uploads, upload, threads: uploads // threads * upload,
    ),
    Card(
        "07",
        "aiofiles, line by line: how many times as long?",
        "times",
        "Writing one line into a file's buffer takes {line} µs. A library hands each line to a thread and "
        "waits for it: {hop} µs. How many times as long does the file take?",
        "Each line costs {hop} µs more than the {line} µs of its own.",
        {"line": (1, 2, 4, 5), "hop": range(40, 201, 20)},
        lambda line, hop: (hop + line) / line,
    ),
    Card(
        "08",
        "Sign-ups in threads: how late is the loop?",
        "s",
        "{threads} threads compute in pure Python. Each keeps the GIL for the switch interval of {interval} "
        "ms, in turn, and the loop's thread is last in the queue. How late is the loop?",
        "It waits for {threads} turns of {interval} ms.",
        {"threads": _FEW, "interval": (5, 10, 20)},
        lambda threads, interval: threads * interval / 1000,
    ),
    Card(
        "09",
        "How many of 100 are sent?",
        "messages",
        "A limit of {limit} messages: GET the count, compare, INCR. {calls} calls begin at once, each keeps "
        "its connection for both commands, and the pool has {pool}. How many messages are sent?",
        "{pool} calls read a count of 0 before anybody adds to it.",
        {"limit": range(5, 21, 5), "pool": range(22, 81), "calls": (100, 150, 200)},
        lambda limit, pool, calls: max(limit, min(pool, calls)),
    ),
    Card(
        "10",
        "How long does the slowest stock page take?",
        "s",
        "A server has {places} places for requests. {pages} price pages come at once; each asks a service "
        "that is down {attempts} times, with a timeout of {timeout} ms. How long does a stock page, which "
        "asks nobody, wait behind them?",
        "{places} places are free again every {attempts} times {timeout} ms.",
        {
            "places": range(5, 21, 5),
            "pages": range(30, 101, 5),
            "attempts": (2, 3),
            "timeout": range(100, 501, 100),
        },
        lambda places, pages, attempts, timeout: pages // places * attempts * timeout / 1000,
    ),
    Card(
        "11",
        "How many of 240 tasks are left?",
        "tasks",
        "Nobody keeps a reference to {asleep} tasks in asyncio.sleep, and to {lost} tasks that await a "
        "future which only they know. How many are left after a garbage collection?",
        "The loop's timers hold the {asleep} that sleep. Nothing holds the other {lost}.",
        {"asleep": range(10, 200, 10), "lost": range(10, 200, 10)},
        lambda asleep, lost: asleep,  # noqa: ARG005
    ),
    Card(
        "12",
        "How many do they open?",
        "connections",
        "{tasks} tasks of a worker with {threads} threads call asyncio.run, and each makes a pool in it that "
        "opens {least} connections at once. How many connections are opened in all?",
        "Each asyncio.run is a new loop, and needs a pool of its own.",
        {"tasks": range(100, 1001, 50), "threads": (4, 8, 16), "least": (1, 2, 3)},
        lambda tasks, threads, least: tasks * least,  # noqa: ARG005
    ),
    Card(
        "13",
        "In how many places does this code base stop",
        "places",
        "Each of {endpoints} async endpoints calls the synchronous database at {calls} places. A colleague "
        "moves one call of each endpoint to a thread. At how many places does the loop still stop?",
        "{calls} less one are left in each endpoint: a package is async when its last call is.",
        {"endpoints": range(4, 30), "calls": range(3, 9)},
        lambda endpoints, calls: endpoints * (calls - 1),
    ),
)
