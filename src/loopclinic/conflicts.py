"""The list of conflicts: every named way in which sync and async code collide.

Lessons, checks, the scope and the scanner share these names.
"""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CONFLICTS", "SHOWN_RUNNING", "Conflict", "first"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """One named conflict. A lower `rank` takes precedence where several fit."""

    name: str
    sentence: str
    rank: int


_ORDERED: tuple[tuple[str, str], ...] = (
    # A more specific name stands above the more general one it would also fit.
    (
        "blocking-retry",
        "A retry waits between attempts with a blocking sleep, so every caller waits.",
    ),
    ("blocking-sleep", "A blocking sleep runs on the event loop."),
    ("blocking-db", "A synchronous database call runs on the event loop."),
    ("blocking-redis", "A synchronous Redis call runs on the event loop."),
    ("blocking-sdk", "A synchronous vendor SDK call runs on the event loop."),
    ("blocking-http", "A synchronous HTTP request runs on the event loop."),
    ("blocking-file-io", "A synchronous file operation runs on the event loop."),
    ("blocking-net", "A synchronous socket operation runs on the event loop."),
    ("blocking-subprocess", "The event loop waits for a child process synchronously."),
    ("blocking-input", "The event loop waits for keyboard input."),
    (
        "blocking-sync-primitive",
        "A threading primitive, queue or future is waited for on the loop.",
    ),
    ("sync-circuit-breaker", "A circuit breaker made for threads guards async calls."),
    ("thread-lock-in-async", "A threading lock is held across an await."),
    ("cpu-bound", "Computation keeps the event loop busy."),
    ("pool-starvation", "Work waits on the loop for a pooled connection only the loop can return."),
    ("executor-saturation", "Blocking work queues behind the few threads of an executor."),
    ("nested-loop", "A second event loop is run inside a running one."),
    ("loop-per-call", "A new event loop is made and thrown away for each call."),
    ("get-event-loop", "A loop is looked up where none is running."),
    ("loop-bound-primitive", "An object bound to one event loop is used under another."),
    (
        "missing-deadline",
        "The work as a whole has no deadline, so retries or waits add up unbounded.",
    ),
    ("missing-timeout", "A network operation is awaited without a timeout."),
    ("retry-storm", "Retries come at once and together, or ignore what the server asked for."),
    ("swallowed-cancellation", "Cancellation is caught and not raised again."),
    (
        "too-many-connections",
        "More connections are opened than the pool was to have, or a new one for each call.",
    ),
    ("unbounded-gather", "Everything is started at once, without a limit."),
    ("sequential-awaits", "Independent work is awaited one piece after another."),
    (
        "unisolated-failure",
        "One piece of work fails, and others that have nothing to do with it are cancelled.",
    ),
    ("dropped-gather-results", "Errors returned by gather are never looked at."),
    (
        "lazy-init-race",
        "Two tasks initialize the same thing, because a check and its set straddle an await.",
    ),
    ("transaction-left-open", "A transaction stays open after its task was cancelled or failed."),
    ("dropped-task", "A task is started and nobody keeps or awaits it."),
    ("unawaited-coroutine", "A coroutine is made and never awaited."),
    ("unclosed-resource", "A session, pool or connection is opened and never closed."),
    ("sync-cm-mixed", "A blocking `with` is used where the object offers `async with`."),
)

CONFLICTS: dict[str, Conflict] = {
    name: Conflict(name, sentence, rank) for rank, (name, sentence) in enumerate(_ORDERED)
}

SHOWN_RUNNING = frozenset(
    {
        "executor-saturation",
        "missing-deadline",
        "pool-starvation",
        "retry-storm",
        "too-many-connections",
        "transaction-left-open",
        "unisolated-failure",
    }
)
"""Of these, what only a running program shows: checks name them, the scanner can't find them."""


def first(names: Iterable[str]) -> str | None:
    """Return the name that takes precedence, or None if there is none.

    Raises:
        KeyError: a name is not in the list.
    """
    return min(names, key=lambda name: CONFLICTS[name].rank, default=None)
