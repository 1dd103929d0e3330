"""The list of conflicts: every named way in which sync and async code collide.

Lessons, checks, the scope and the scanner share these names.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conflict:
    """One named conflict. A lower `rank` takes precedence where several fit."""

    name: str
    sentence: str
    rank: int

    @property
    def weight(self) -> int:
        """How much a finding of it matters where nothing more is known, as an index of `WEIGHTS`."""
        return 2 if self.name in _HEAVY else 1


_ORDERED = {
    # What never ran is behind whatever else is seen.
    "unawaited-coroutine": "A coroutine is made and never awaited.",
    # A more specific name stands above the more general one it would also fit.
    "blocking-retry": "A retry waits between attempts with a blocking sleep, so every caller waits.",
    "blocking-sleep": "A blocking sleep runs on the event loop.",
    "blocking-db": "A synchronous database call runs on the event loop.",
    "blocking-redis": "A synchronous Redis call runs on the event loop.",
    "blocking-sdk": "A synchronous vendor SDK call runs on the event loop.",
    "blocking-http": "A synchronous HTTP request runs on the event loop.",
    "blocking-file-io": "A synchronous file operation runs on the event loop.",
    "blocking-net": "A synchronous socket operation runs on the event loop.",
    "blocking-subprocess": "The event loop waits for a child process synchronously.",
    "blocking-input": "The event loop waits for keyboard input.",
    "blocking-sync-primitive": "The event loop waits for a threading primitive, queue or future.",
    "sync-circuit-breaker": "A circuit breaker made for threads guards async calls.",
    "thread-lock-in-async": "A threading lock is held across an await.",
    "cpu-bound": "Computation keeps the event loop busy.",
    "pool-starvation": "Work waits on the loop for a pooled connection only the loop can return.",
    "executor-saturation": "Blocking work queues behind the few threads of an executor.",
    "nested-loop": "A second event loop is run inside a running one.",
    "loop-per-call": "A new event loop is made and thrown away for each call.",
    "get-event-loop": "A loop is looked up where none is running.",
    "loop-bound-primitive": "An object bound to one event loop is used under another.",
    "missing-deadline": "The work as a whole has no deadline, so retries or waits add up unbounded.",
    "missing-timeout": "A network operation is awaited without a timeout.",
    "retry-storm": "Retries come at once and together, or ignore what the server asked for.",
    "half-open-stampede": "A breaker tries whether a service is well again with every caller at once.",
    "masked-failure": "An error of one's own, or a lack, comes out as a fallback that does not say so.",
    "swallowed-cancellation": "Cancellation is caught and not raised again.",
    "too-many-connections": "More connections are opened than the pool was to have, or a new one for each call.",
    "shared-connection": "One session or connection is used by several tasks at once.",
    "order-broken": "Pieces of work that have an order run at once, and a later one overtakes an earlier one.",
    "unbounded-gather": "Everything is started at once, without a limit.",
    "sequential-awaits": "Independent awaits run one after another.",
    "unisolated-failure": "One piece of work fails, and others that have nothing to do with it are cancelled.",
    "dropped-gather-results": "Errors returned by gather are never looked at.",
    "non-atomic-counter": "A counter's check, change and expiry are separate steps, and others run between them.",
    "lazy-init-race": "Two tasks initialize the same thing, because there is an await between the check and the assignment.",
    "transaction-left-open": "A transaction stays open after its task was cancelled or failed.",
    "dropped-task": "A task is started and nobody keeps or awaits it.",
    "unseen-task-error": "A task fails, and its error is told to nobody, or only when garbage is collected.",
    "abrupt-shutdown": "A shutdown ends work in progress at once, or cuts its clean-up short.",
    "torn-file": "A file can be seen before it is whole, or what is left of one stays behind.",
    "unclosed-resource": "A session, pool or connection is opened and never closed.",
    "sync-cm-mixed": "A blocking `with` is used where the object offers `async with`.",
}

CONFLICTS: dict[str, Conflict] = {
    name: Conflict(name, sentence, rank) for rank, (name, sentence) in enumerate(_ORDERED.items())
}

WEIGHTS = ("light", "medium", "heavy")
"""From microseconds on a healthy disk to seconds, or a wrong result."""

_HEAVY = frozenset(
    [
        *("blocking-db", "blocking-http", "blocking-net", "blocking-redis", "blocking-retry"),
        *("blocking-sdk", "blocking-sleep", "blocking-subprocess", "loop-bound-primitive"),
        *("nested-loop", "thread-lock-in-async", "unawaited-coroutine"),
    ]
)

SHOWN_RUNNING = frozenset(
    [
        *("abrupt-shutdown", "executor-saturation", "half-open-stampede", "masked-failure"),
        *("missing-deadline", "non-atomic-counter", "order-broken", "pool-starvation"),
        *("retry-storm", "torn-file", "transaction-left-open", "unisolated-failure"),
        *("unseen-task-error",),
    ]
)
"""Of these, what only a running program shows: checks name them, the scanner can't find them."""


_TITLES = {
    "01_blocking_sleep": "One retry, everybody waits",
    "02_sync_database": "The job that never ends and never fails",
    "03_flask_bridge": "The webhook that answers, and forgets",
    "04_unbounded_gather": "Faster, faster, refused",
    "05_sequential_awaits": "The loop is idle, and the user still waits",
    "06_sync_sdk": "The upload that made every other request slow",
    "07_file_io": "The disk is on the loop, too",
    "08_cpu_bound": "A thread cures one of these two",
    "09_await_races": "Between these two lines, somebody else ran",
    "10_failing_upstreams": "One slow dependency takes everything down",
    "11_task_lifetimes": "The task that vanished, and its error with it",
    "12_loop_boundaries": "asyncio.run() cannot be called from a running event loop",
    "13_standardize": "Half sync, half async, and all checks pass",
}
"""Name -> title of each lesson that treats a conflict. Stated here, so that the instrument imports no lesson."""

_TREATED = {
    "01_blocking_sleep": (
        *("blocking-retry", "blocking-sleep", "executor-saturation", "missing-deadline"),
        "swallowed-cancellation",
    ),
    "02_sync_database": (
        *("blocking-db", "pool-starvation", "transaction-left-open"),
        *("too-many-connections", "unclosed-resource"),
    ),
    "03_flask_bridge": ("loop-per-call", "loop-bound-primitive"),
    "04_unbounded_gather": (
        *("unbounded-gather", "unisolated-failure", "dropped-gather-results"),
        "retry-storm",
    ),
    "05_sequential_awaits": ("sequential-awaits", "order-broken", "shared-connection"),
    "06_sync_sdk": ("blocking-sdk", "blocking-http", "blocking-redis"),
    "07_file_io": ("blocking-file-io", "torn-file"),
    "08_cpu_bound": ("cpu-bound", "blocking-sync-primitive"),
    "09_await_races": ("non-atomic-counter", "lazy-init-race"),
    "10_failing_upstreams": ("sync-circuit-breaker", "half-open-stampede", "masked-failure"),
    "11_task_lifetimes": ("dropped-task", "unseen-task-error", "abrupt-shutdown"),
    "12_loop_boundaries": ("nested-loop", "get-event-loop"),
    "13_standardize": ("unawaited-coroutine",),
}

TREATMENTS = {
    conflict: (name, _TITLES[name])
    for name, conflicts in _TREATED.items()
    for conflict in conflicts
}
"""Conflict -> (name, title) of the lesson that treats it: of those whose list of conflicts holds it, the
one that names it soonest, then the first."""


def first(names: Iterable[str]) -> str | None:
    """Return the name that takes precedence, or None if there is none; KeyError for a name that is not in the list."""
    return min(names, key=lambda name: CONFLICTS[name].rank, default=None)
