"""Recorded trials: for each submission and seed what a trial found, how it ended, and its verdict.

They lie in `records/NN/<submission>.json` and are made by `make record`. A record is judged again in
milliseconds, without running anything. It is stale when the submission, the lab as shipped or a definition
that drives the lab has changed since. What only judges makes no record stale: `test_records.py` judges
every record by it.
"""

import base64
import hashlib
import json
import re
import shutil
import sysconfig
import tempfile
import zlib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from loopclinic.checks.checking import conclude, lab_text, limits_of, run_trial
from loopclinic.checks.child_reports import Outcome
from loopclinic.checks.trial_reasons import too_busy
from loopclinic.lessons import Lesson, lessons
from loopclinic.lessons.core.scene import check_of
from loopclinic.verdict import Verdict
from tests.labs import driving

ROOT = Path(__file__).parents[2]
FIXES = Path(__file__).parent / "fixes"
RECORDS = Path(__file__).parent / "records"
SEEDS = (1, 2, 3)
COUNTED = {"07"}
"""Numbers of lessons whose check counts and uses no clock: none of its figures depends on the machine."""
LAB = Path("lab")
"""Stands in a record for the path of the submission."""

DRIVES = ("loopclinic.checks.child", "loopclinic.checks.supervisor")
_OF_ENDING = (
    *("cause", "end", "ready", "step", "stuck", "waits", "stack", "leaves", "exit_status", "used"),
)
_OF_MACHINE = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (re.escape(tempfile.gettempdir()) + r"/loopclinic-\w+", "room"),
        (r"(?<=\b127\.0\.0\.1:)\d+|(?<=\bport=)\d+", "PORT"),
        (r"\b0x[0-9a-f]{6,}", "0x"),
        (r"(?<=loopclinic_lesson_)[0-9a-f]+", "TOKEN"),
        (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "DATE"),
        (r"Python/[\d.]+ aiohttp/[\d.]+", "Python aiohttp"),
    )
)

Record = dict[str, Any]
Trial = dict[str, Any]


@dataclass(frozen=True)
class Submission:
    """A solution, a lab as shipped, a right answer or a half-fix."""

    lesson: Lesson
    stem: str
    file: Path

    @property
    def name(self) -> str:
        return f"{self.lesson.number}-{self.stem}"

    @property
    def record(self) -> Path:
        return RECORDS / self.lesson.number / f"{self.stem}.json"

    @property
    def command(self) -> str:
        """What records it anew."""
        return f'make record ARGS="-k {self.name}"'

    @property
    def promise(self) -> str | None:
        """The number of the promise that it breaks, where its name says so."""
        named = re.match(r"half_p(\d+)_", self.stem)
        return named[1] if named else None

    def laid_out(self, room: Path) -> Path:
        """Return the file or folder to check; what has to be put together is, in `room`.

        Of a lab that is a folder, a fix holds what differs from the solution, or from the right answer
        that its `base.txt` names.
        """
        if self.file.is_file() or self.file == self.lesson.shipped:
            return self.file
        assert self.lesson.shipped is not None
        solution, whole = ROOT / "solutions" / self.lesson.shipped.name, room / self.file.name
        layers = [solution] if self.file == solution else [solution, self.file]
        base = self.file / "base.txt"
        if base.exists():
            layers.insert(1, FIXES / self.lesson.number / base.read_text().strip())
        left_out = shutil.ignore_patterns("__pycache__", "base.txt")
        for layer in layers:
            shutil.copytree(layer, whole, dirs_exist_ok=True, ignore=left_out)
        return whole

    def text(self) -> str:
        """Return the text by which its trials are judged."""
        with tempfile.TemporaryDirectory() as room:
            return lab_text(self.lesson, self.laid_out(Path(room)))

    def agrees(self, verdict: Trial) -> bool:
        """Whether a verdict is the one that the submission's name says."""
        kind, _, rest = self.stem.partition("_")
        if kind in {"right", "solution"}:
            return verdict["status"] == "passed"
        promises, named = verdict["promises"], rest.partition("__")[2]
        broken = {number for number, state in promises.items() if state == "broken"}
        if verdict["status"] != "not-yet" or (self.promise and broken != {self.promise}):
            return False
        # What can't be imported breaks nothing: a slip of its author's.
        if named == "none" and set(promises.values()) == {"not-reached"}:
            return False
        return kind == "shipped" or verdict.get("conflict", "none") == named


def submissions() -> list[Submission]:
    """Return all of them; those of one lesson follow each other.

    Raises:
        ValueError: a fix is named neither right_* nor half_*__<conflict>.
    """
    found = []
    for one in lessons():
        if one.shipped is None:
            continue
        found.append(Submission(one, "shipped", one.shipped))
        found.append(Submission(one, "solution", ROOT / "solutions" / one.shipped.name))
        folder = FIXES / one.number
        pattern = "[!_]*_*" if one.shipped.is_dir() else "*.py"
        for path in sorted(
            path for room in (folder, folder / "more") for path in room.glob(pattern)
        ):
            if not re.fullmatch(r"right_.+|half_.+__.+", path.stem):
                raise ValueError(f"{path}: name it right_* or half_*__<conflict>")
            found.append(Submission(one, path.stem, path))
    assert len({one.record for one in found}) == len(found), "two fixes have one name"
    return found


SUBMISSIONS = {one.name: one for one in submissions()}


# Recording.


def recorded(submission: Submission, seed: int) -> tuple[Trial | None, str]:
    """Run a trial and return what is kept of it, and the traceback of what ended it, if any.

    Of a trial that tells nothing, return None and why.

    Raises:
        ValueError: the verdict can't be had again from what is kept.
    """
    one = submission.lesson
    with tempfile.TemporaryDirectory() as room:
        file = submission.laid_out(Path(room))
        text, limits = lab_text(one, file), limits_of(one)
        outcome = run_trial(one, file, seed, limits)
        verdict = conclude(one, outcome, file, text, seed=seed, limits=limits)
    # In virtual time a figure is the same however little of the processor the lab got.
    exact = one.number in COUNTED or check_of(one.package).virtual
    exact = exact and outcome.cause != "deadline"
    busy = None if exact else too_busy(outcome, limits)
    if busy is not None or verdict.status == "could-not-run":
        return None, f"{(busy or verdict.reasons[0]).sentence} {outcome.shortage:.0%} withheld"
    paths = _paths(file)
    trial: Trial = neutral({"ending": _ending(outcome, file), "facts": outcome.facts}, paths)
    live, again = neutral(to_dict(verdict), paths), judged(submission, trial, seed, text)
    if again != live:
        raise ValueError(
            f"{submission.name}, seed {seed}: the verdict was\n{live}\nand is, from what is kept,\n{again}"
        )
    return {**trial, "verdict": again}, outcome.end.get("trace", "")


def judged(submission: Submission, trial: Trial, seed: int, text: str) -> Trial:
    """Return what is kept of the verdict on a recorded trial."""
    return to_dict(concluded(submission, trial, seed, text))


def concluded(submission: Submission, trial: Trial, seed: int, text: str) -> Verdict:
    """Return the verdict on a recorded trial, as the judges of today see it."""
    one, outcome = submission.lesson, Outcome(**trial["ending"], facts=trial["facts"])
    return conclude(one, outcome, LAB, text, seed=seed, limits=limits_of(one))


def to_dict(verdict: Verdict) -> Trial:
    """Return what is kept of a verdict; fields that say nothing are left out."""
    reasons = [
        {name: value for name, value in one.to_dict().items() if value not in (None, False)}
        for one in verdict.reasons
    ]
    conflict = {"conflict": verdict.conflict} if verdict.conflict else {}
    return {
        "status": verdict.status,
        **conflict,
        "headline": verdict.headline,
        "vitals": dict(verdict.vitals),
        "reasons": reasons,
        "promises": {str(one.number): one.state for one in verdict.promises},
    }


def _ending(outcome: Outcome, file: Path) -> Trial:
    """Return what is known of how a trial ended, as far as its verdict may rest on it."""
    heard, blank = asdict(outcome), asdict(Outcome())
    if outcome.cause == "ended":
        heard |= {
            name: blank[name] for name in ("stuck", "waits", "stack", "leaves", "exit_status")
        }
    if "trace" in outcome.end:  # read of a fault of the kit's own only, and full of paths
        heard["end"] = {**outcome.end, "trace": ""}
    heard["stack"] = [frame for frame in outcome.stack if frame[0].startswith(str(file))]
    return {name: heard[name] for name in _OF_ENDING if heard[name] != blank[name]}


# What no other machine would say.


def _paths(file: Path) -> dict[str, str]:
    """Return what stands for each path that this machine alone has, the innermost first."""
    places = {
        str(file): str(LAB),
        str(ROOT): "kit",
        sysconfig.get_path("purelib"): "packages",
        sysconfig.get_path("stdlib"): "python",
        str(Path.home()): "home",
    }
    return dict(sorted(places.items(), key=lambda place: -len(place[0])))


def neutral(value: Any, paths: dict[str, str]) -> Any:
    """Return a JSON value without paths, ports, tokens and process ids."""
    seen: dict[str, int] = {}

    def number(name: str | int) -> int:
        return seen.setdefault(str(name), len(seen) + 1)

    def walk(one: Any, key: str = "") -> Any:
        match one:
            case str():
                return f"session {number(one)}" if _SESSION.fullmatch(one) else words(one)
            case dict():
                return {words(name): walk(inner, name) for name, inner in one.items()}
            case list() | tuple():
                return [walk(inner, key) for inner in one]
            case int() if key in {"pid", "blocked_by"}:
                return number(one)
        return one

    def words(text: str) -> str:
        for path, word in paths.items():
            text = text.replace(path, word)
        for pattern, word in _OF_MACHINE:
            text = pattern.sub(word, text)
        return text

    return walk(value)


_SESSION = re.compile(r"\d{10,}\.\d+")


# Files, and whether they are fresh.


def load(path: Path) -> Record:
    """Return a record; one that is not there has no trials."""
    return parse(path.read_text(encoding="utf-8")) if path.exists() else {"trials": {}}


def parse(text: str) -> Record:
    """Return the record that a file's text holds."""
    record: Record = json.loads(text)
    facts = json.loads(zlib.decompress(base64.b64decode(record.pop("facts"))))
    for seed, trial in record["trials"].items():
        trial["facts"] = facts[seed]
    return record


def save(path: Path, record: Record) -> None:
    """Write a record; the facts, of which nearly every number changes each time, are compressed."""
    facts = {seed: trial["facts"] for seed, trial in record["trials"].items()}
    trials = {
        seed: {name: value for name, value in trial.items() if name != "facts"}
        for seed, trial in record["trials"].items()
    }
    packed = base64.b64encode(zlib.compress(json.dumps(facts).encode(), 9)).decode()
    kept = {"hashes": record["hashes"], "trials": trials, "facts": packed}
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)


def stale(submission: Submission, record: Record) -> str | None:
    """Return what has changed since it was recorded, in words; None if nothing has."""
    if not record["trials"]:
        return "no seed has been recorded"
    now, then = hashes(submission), record["hashes"]
    changed = [name for name, value in now.items() if then.get(name) != value]
    return f"changed since then: {', '.join(changed)}" if changed else None


def hashes(submission: Submission) -> dict[str, str]:
    """Return hashes of what a trial's outcome rests on."""
    shipped = submission.lesson.shipped
    assert shipped is not None
    with tempfile.TemporaryDirectory() as room:
        return {
            "submission": _hash(_files(submission.laid_out(Path(room)))),
            "lab as shipped": _hash(_files(shipped)),
            "what drives the lab": _driving_hash(submission.lesson.package),
        }


def _files(root: Path) -> dict[str, bytes]:
    if root.is_file():
        return {root.name: root.read_bytes()}
    return {
        file.relative_to(root).as_posix(): file.read_bytes()
        for file in sorted(root.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }


def _hash(contents: dict[str, bytes]) -> str:
    found = hashlib.sha256()
    for name, content in contents.items():
        found.update(name.encode() + b"\0" + content.replace(b"\r\n", b"\n") + b"\0")
    return found.hexdigest()[:16]


@cache
def _driving_hash(package: str) -> str:
    found = driving.source_of(DRIVES, f"{package}.check:CHECK")
    return _hash({name: text.encode() for name, text in found.items()})
