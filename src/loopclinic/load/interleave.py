"""`compare`: puts variants under the same load, interleaved, each in a process of its own."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from loopclinic.import_path import LoadError
from loopclinic.load.by_value import pack
from loopclinic.load.comparison import Comparison
from loopclinic.load.own_loop import generator, patience
from loopclinic.load.progress_line import Progress
from loopclinic.load.request_schedule import Load
from loopclinic.load.variant import Target, Variant
from loopclinic.load.vitals import Vitals
from loopclinic.servers import ServerError, ServerProcess
from loopclinic.units import count, duration

_FLOOD = 1_000_000
"""Bytes printed from which on it is worth a word."""
_AT_IMPORT = ("was not ready", "another loop is running", "from a running event loop")
"""What is said where a file serves, runs a loop or waits as it is imported."""
_GUARD = " If it serves or waits as it is imported, put that under 'if __name__ == \"__main__\":'."
_WRONG_DOOR = {"HTTP 404", "HTTP 405"}


def compare(
    *variants: Variant | Target,
    load: Load | None = None,
    rounds: int = 5,
    warmup: float = 0.5,
    bound: float | None = None,
    progress: bool = True,
) -> Comparison:
    """Put each variant under the same load, in a process of its own, round after round.

    Rounds are interleaved (ABBA for two, rotating for more), and in round r every variant gets the
    same arrivals. Arguments and errors are those of `loopclinic.compare`.
    """
    if not variants:
        raise ValueError("compare() needs a variant or more: compare(before, after).")
    if rounds < 1:
        raise ValueError(f"compare(rounds={rounds}): one round or more.")
    if warmup < 0:
        raise ValueError(f"compare(warmup={warmup}): seconds, 0 or more.")
    load = load or Load()
    named = _named(variants)
    specs = [pack(variant) for variant in named]
    found: list[list[Vitals]] = [[] for _ in named]
    with contextlib.ExitStack() as stack, Progress(shown=progress) as shown:
        shown.say(f"Starting {len(named)} server processes...")
        source = stack.enter_context(contextlib.closing(generator()))
        pairs = zip(named, specs, strict=True)
        servers = [_Server(variant, spec, source, load) for variant, spec in pairs]
        for server in servers:
            stack.enter_context(contextlib.closing(server.process))
            server.process.launch()
        source.start()
        for server in servers:
            server.start()
            server.warm_up(warmup)
        for number in range(rounds):
            for place, index in enumerate(order(number, len(servers))):
                server = servers[index]
                turn = f"Round {number + 1} of {rounds}, {place + 1} of {len(servers)}"
                shown.say(f"{turn}: {server.name}")
                found[index].append(server.round(number))
                if number + 1 < rounds or place + 1 < len(servers):
                    server.recover(warmup)
        shown.done(f"Compared {len(named)} variants over {count(rounds, 'round')} of {load}.")
    return Comparison(
        variants=tuple(variant.name for variant in named),
        rounds=tuple(tuple(vitals) for vitals in found),
        load=load,
        bound=bound,
        served=tuple(str(server.process.address["served"]) for server in servers),
        notes=tuple(note for server in servers for note in server.notes),
    )


def order(number: int, variants: int) -> list[int]:
    """Return the order of the variants in a round: ABBA for two, rotating back and forth for more."""
    start = number // 2 % variants
    forward = [(start + place) % variants for place in range(variants)]
    if variants == 2:
        forward = [0, 1]
    return forward if number % 2 == 0 else forward[::-1]


class _Server:
    """One variant's process, and the load it gets."""

    def __init__(self, variant: Variant, spec: Any, source: ServerProcess, load: Load) -> None:
        self.name, self.load, self.source = variant.name, load, source
        self.process = ServerProcess(variant.host, spec, label=f"the process of '{variant.name}'")
        self._overrun = False
        self._notes: dict[str, None] = {}
        self._printed = 0

    @property
    def notes(self) -> list[str]:
        """What is to be known of it, a sentence each."""
        notes = list(self._notes)
        if self._printed > _FLOOD:
            megabytes = f"{self._printed / 1e6:,.0f} MB"
            notes.append(f"it printed {megabytes} meanwhile, which takes its own time")
        return [f"{self.name}: {note}." for note in notes]

    def start(self) -> None:
        before = self.process.printed
        try:
            self.process.start()
        except ServerError as error:
            printed = self.process.printed - before
            flood = f" It printed {printed / 1e6:,.0f} MB meanwhile." if printed > _FLOOD else ""
            hint = _GUARD if any(words in str(error) for words in _AT_IMPORT) else ""
            raise LoadError(
                f"'{self.name}' did not start: {_sentence(error)}{flood}{hint} "
                "Fix that, then compare again.",
                error.detail,
            ) from None

    def warm_up(self, seconds: float) -> None:
        if seconds == 0:
            return
        load = replace(self.load, seed=self.load.seed + 7919)
        if load.jobs is None:
            load = replace(load, seconds=seconds, timeout=min(load.timeout, 2.0 + seconds))
        else:
            load = replace(load, jobs=min(load.jobs, 10))
        vitals = self._play(load, 0)
        self._overrun = "timeout" in vitals.errors

    def round(self, number: int) -> Vitals:
        """Play one round; LoadError if the server died, or answered nothing."""
        vitals = self._play(self.load, number)
        if vitals.answered == 0:
            raise LoadError(self._silent(vitals))
        self._overrun = "timeout" in vitals.errors
        return vitals

    def recover(self, warmup: float) -> None:
        """Start the server anew if requests were given up: it may still be at work on them."""
        if not self._overrun:
            return
        self.process.close()
        self.start()
        self.warm_up(warmup)

    def _play(self, load: Load, number: int) -> Vitals:
        printed = self.process.printed
        try:
            self.process.call("begin")
            asked = load.order(self.process.address["port"], number)
            played = self.source.call(asked, timeout=patience(load))
            measured = self.process.call("end")
        except ServerError as error:
            if self.source.pid is None or "load generator" in str(error):
                raise
            how, hint = "died", ""
            if "did not answer" in str(error):
                how = "stopped answering"
                hint = " A call keeps the GIL, or the process was stopped."
            raise LoadError(
                f"'{self.name}' {how} under load: {_sentence(error)}{hint} "
                "Run it alone to see how, then compare again.",
                error.detail,
            ) from None
        self._notes |= dict.fromkeys(measured.get("notes", ()))
        self._printed += self.process.printed - printed
        return Vitals.of(load, played, measured)

    def _silent(self, vitals: Vitals) -> str:
        said = f"'{self.name}' answered none of {vitals.sent} requests"
        if set(vitals.errors) == {"timeout"}:
            stuck = vitals.worst
            where = f": its loop is stuck at {stuck.where}" if stuck is not None else ""
            step = "Fix the line, or raise Load(timeout=...)."
            return f"{said} within {duration(self.load.timeout)}{where}. {step}"
        kind = next(iter(vitals.errors))
        cause = vitals.first_errors.get(kind, kind)
        if kind in _WRONG_DOOR:
            return (
                f"{said}, the first failed by {kind} to {self.load.method} {self.load.path}: name "
                "what it serves, as Load(path='/orders', method='GET')."
            )
        return f"{said}, the first failed by {cause}. Fix that, then compare again."


def _sentence(error: ServerError) -> str:
    said = str(error)
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _named(variants: Sequence[Variant | Target]) -> list[Variant]:
    """Return variants with names that differ."""
    found: list[Variant] = []
    for given in variants:
        variant = given if isinstance(given, Variant) else Variant(given)
        taken = {other.name for other in found}
        name, count = variant.name, 2
        while name in taken:
            name, count = f"{variant.name} ({count})", count + 1
        found.append(replace(variant, name=name))
    return found
