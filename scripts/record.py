"""Run each submission's check and store its trial under tests/labs/records: `make record`.

Finished records that are fresh are kept, so that it may be interrupted at any time.

    ARGS="-k 04-half_sem"        only submissions whose name holds this
    ARGS="--seeds 1"             only this seed (of 1, 2 and 3)
    ARGS="--again"               also what is fresh
    ARGS="-k 04- --read"         nothing is run: print the recorded verdicts, in words
    ARGS="-k 04-half_sem --show"   nothing is run: print all that is recorded
    ARGS="--judge"               nothing is run: judge what is recorded anew, keep and list each new text
    ARGS="--compare main"        nothing is run: list how the verdicts differ from those of a commit
"""

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from loopclinic.units import count  # noqa: E402
from tests.labs import recorded  # noqa: E402
from tests.labs.changes import Change, changes, changes_of_meaning, masked  # noqa: E402
from tests.labs.recorded import SEEDS, Submission, hashes, load, save  # noqa: E402


def main(arguments: list[str]) -> int:
    """Record, judge or compare; return 1 if something is missing or differs."""
    parser = argparse.ArgumentParser(prog="make record", description=__doc__.partition("\n")[0])
    parser.add_argument("-k", action="append", metavar="WORD", help="part of a name", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", choices=SEEDS, default=SEEDS)
    parser.add_argument("--again", action="store_true", help="also what is fresh")
    parser.add_argument("--read", action="store_true", help="print the verdicts, in words")
    parser.add_argument("--show", action="store_true", help="print all that is recorded")
    parser.add_argument("--judge", action="store_true", help="judge what is recorded anew")
    parser.add_argument("--compare", metavar="COMMIT", help="compare with the verdicts of a commit")
    chosen = parser.parse_args(arguments)
    found = [
        one
        for one in recorded.SUBMISSIONS.values()
        if not chosen.k or any(word in one.name for word in chosen.k)
    ]
    if not found:
        parser.error(f"no submission's name holds {' or '.join(chosen.k)}")
    if chosen.read:
        return read(found)
    if chosen.show:
        shown = {one.name: load(one.record)["trials"] for one in found}
        print(json.dumps(shown, indent=1, ensure_ascii=False))
        return 0
    if chosen.compare:
        return compare(found, chosen.compare)
    if chosen.judge:
        return judge(found)
    return record(found, chosen.seeds, again=chosen.again)


# Recording.


def record(found: list[Submission], seeds: Iterable[int], *, again: bool) -> int:
    """Run what is missing, seed by seed; trials that tell nothing once more at the end."""
    due = [(one, seed) for seed in seeds for one in found if again or not _kept(one, seed)]
    print(f"{len(due)} trials of {len(found)} submissions to record", flush=True)
    doubtful = _run(due)
    if doubtful:
        print(f"{len(doubtful)} once more: they told nothing")
        doubtful = _run(doubtful)
    for one, seed in doubtful:
        print(f"not recorded: {one.name}, seed {seed}")
    if doubtful:
        print("The rest is kept: run the same command, without --again, when the machine is idle.")
    for one in found:
        for line in _oddities(one):
            print(f"{one.name}: {line}")
    return 1 if doubtful else 0


def _kept(one: Submission, seed: int) -> bool:
    kept = load(one.record)
    return str(seed) in kept["trials"] and kept["hashes"] == hashes(one)


def _run(due: list[tuple[Submission, int]]) -> list[tuple[Submission, int]]:
    """Record these and return those whose trial told nothing."""
    doubtful = []
    began = time.monotonic()
    for number, (one, seed) in enumerate(due, 1):
        started = time.monotonic()
        trial, trouble = recorded.recorded(one, seed)
        if trial is None:
            doubtful.append((one, seed))
            shown = f"DOUBTFUL: {trouble}"
        else:
            _keep(one, seed, trial)
            verdict = trial["verdict"]
            shown = f"{verdict['status']} {verdict.get('conflict', '')}".strip()
            if not one.agrees(verdict):
                shown += f"  NOT AS NAMED\n{_in_words(verdict)}{trouble}"
        now = time.monotonic()
        left = (now - began) / number * (len(due) - number) / 60
        print(
            f"[{number}/{len(due)}] {one.name}, seed {seed}: {shown}  "
            f"({now - started:.1f} s, {left:.0f} min left)",
            flush=True,
        )
    return doubtful


def _in_words(verdict: recorded.Trial) -> str:
    lines = (f"    {one['sentence']} (line {one.get('line')})\n" for one in verdict["reasons"])
    return f"    {verdict['headline']}\n{''.join(lines)}"


def _keep(one: Submission, seed: int, trial: recorded.Trial) -> None:
    kept, now = load(one.record), hashes(one)
    others = kept["trials"] if kept.get("hashes") == now else {}
    trials = {**others, str(seed): trial}
    save(one.record, {"hashes": now, "trials": dict(sorted(trials.items()))})


def _oddities(one: Submission) -> Iterable[str]:
    """Yield where a submission's verdicts are not what its name says, and what varies between seeds."""
    trials = load(one.record)["trials"]
    verdicts = {seed: trial["verdict"] for seed, trial in trials.items()}
    for seed, verdict in verdicts.items():
        if not one.agrees(verdict):
            yield f"seed {seed} is not as named: {verdict['status']} {verdict.get('conflict')}"
    (first, base), *others = verdicts.items() or [("", {})]
    for seed, verdict in others:
        for change in changes_of_meaning([base], verdict):
            yield (
                f"{change.field} varies\n    seed {first}: {change.old}\n    seed {seed}: {change.new}"
            )


# Nothing is run.


_FACTS = ("promise", "conflict", "measured", "budget", "file", "line")


def read(found: list[Submission]) -> int:
    """Print each recorded verdict as its reader sees it, once where seeds differ in figures only."""
    for one in found:
        told: set[str] = set()
        for seed, trial in load(one.record)["trials"].items():
            verdict = trial["verdict"]
            lines = [f"{one.name}, seed {seed}: {verdict['status']}. {verdict['headline']}"]
            for reason in verdict["reasons"]:
                facts = [f"{key} {reason[key]}" for key in _FACTS if key in reason]
                said = reason["sentence"], reason.get("next_step", "")
                lines += [f"    {', '.join(facts)}", *(f"        {one}" for one in said)]
            text = "\n".join(lines)
            kind = masked(text.partition(": ")[2])
            if kind not in told:
                told.add(kind)
                print(text)
    return 0


def judge(found: list[Submission]) -> int:
    """Judge what is recorded by the judges of today, keep their verdicts and list what has changed."""
    tally, stale = _Tally(), 0
    for one in found:
        kept = load(one.record)
        trouble = recorded.stale(one, kept)
        if trouble is not None:  # the judges of today may not know what to make of it
            stale += 1
            print(f"{one.name}: {trouble}. {one.command}")
            continue
        text = one.text()
        for seed, trial in kept["trials"].items():
            new = recorded.judged(one, trial, int(seed), text)
            for change in changes(trial["verdict"], new):
                tally.add(one, seed, change)
            trial["verdict"] = new
        save(one.record, kept)
    return tally.show() or int(stale > 0)


def compare(found: list[Submission], commit: str) -> int:
    """List how the recorded verdicts differ from those that were recorded at `commit`, numbers masked."""
    tally = _Tally()
    for one in found:
        olds = recorded_at(commit, one.record)
        if not olds:
            print(f"{one.name}: not recorded at {commit}")
        for seed, trial in load(one.record)["trials"].items() if olds else ():
            # That of the same seed comes first: of equally near ones it is shown.
            nearest = sorted(olds.items(), key=lambda old: old[0] != seed)
            verdicts = [old["verdict"] for _, old in nearest]
            for change in changes_of_meaning(verdicts, trial["verdict"]):
                tally.add(one, seed, change)
    return tally.show()


def recorded_at(commit: str, path: Path) -> dict[str, recorded.Trial]:
    """Return the trials that a record held at a commit, by seed; none if there was no such record."""
    name = path.relative_to(ROOT).as_posix()
    shown = subprocess.run(
        ["git", "show", f"{commit}:{name}"], cwd=ROOT, capture_output=True, check=False
    )
    return recorded.parse(shown.stdout.decode())["trials"] if shown.returncode == 0 else {}


class _Tally:
    """What differs, told once for all seeds of a submission."""

    def __init__(self) -> None:
        self._seeds: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
        self._changes: dict[tuple[str, str, str, str], Change] = {}

    def add(self, one: Submission, seed: str, change: Change) -> None:
        key = (one.name, change.field, masked(change.old), masked(change.new))
        self._seeds[key].append(seed)
        self._changes.setdefault(key, change)

    def show(self) -> int:
        """Print it and return 1 if a verdict itself differs."""
        for key, change in self._changes.items():
            seeds = " ".join(self._seeds[key])
            print(f"{key[0]}, seed {seeds}, {change.field}{': VERDICT' if change.grave else ''}")
            print(f"    old: {change.old}\n    new: {change.new}")
        grave = {key[0] for key, change in self._changes.items() if change.grave}
        print(
            f"{count(len(self._changes), 'text')} changed, verdicts of {count(len(grave), 'submission')}"
        )
        return 1 if grave else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("interrupted; what is recorded is kept: make record goes on from there")
        sys.exit(130)
