"""A check as a sequence of scenes: each drives the lab and judges what it found.

A scene is written once and used in two processes. `drive` runs in the child that holds the learner's
code and returns a finding, a frozen dataclass, which crosses the pipe as JSON. `judge` runs in the
parent on findings alone: pure, out of the lab's reach, and able to judge a recorded trial again.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from types import ModuleType, NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from loopclinic.conflicts import CONFLICTS
from loopclinic.verdict import Promise, PromiseState, Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Line, Stage

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Budget:
    """A line that a lab must stay below, and why it stands where it stands.

    `limit` is in `unit`; a unit of "x" is a ratio.
    """

    limit: float
    unit: str
    reason: str

    def __str__(self) -> str:
        return f"{self.limit:g} {self.unit}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A promise of the contract, by its number, that a scene found kept."""

    promise: int


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise of the contract, by its number, that is broken for a reason given already.

    A reason names one promise: what else it breaks, its scene yields after it.
    """

    promise: int


Said = Reason | Kept | Broken
"""What a scene says of a lab when it judges."""


class Scene(Generic[F]):
    """One stretch of a check: drive the lab, then judge the finding. Subclasses set the attributes."""

    title: ClassVar[str]
    """What is tried: shown meanwhile, and in the verdict if the lab hangs here."""
    Found: ClassVar[type]
    """The frozen dataclass that `drive` returns: JSON values, tuples, and such dataclasses."""
    promises: ClassVar[tuple[int, ...]]
    """Numbers of the contract's promises that this scene puts to the test."""

    @property
    def name(self) -> str:
        """The key of the scene's finding."""
        return type(self).__name__

    async def drive(self, lab: ModuleType, stage: "Stage") -> F | None:
        """Drive the learner's code and return the finding, None to leave the scene out.

        Ask servers, not the lab.
        """
        raise NotImplementedError

    def judge(self, found: F, judged: "Judged") -> Iterator[Said]:
        """Yield what was broken, the gravest first, and which promises were kept. Pure."""
        raise NotImplementedError


@dataclass
class Judged:
    """What is known so far: what scenes found, and the reasons that came of it."""

    findings: Mapping[type[Scene[Any]], Any] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)
    kept: set[tuple[str, int]] = field(default_factory=set)
    """Name of a scene and number of a promise that it found kept."""
    broken: set[int] = field(default_factory=set)
    """Promises that a reason breaks besides the one it names."""
    enough: bool = False
    """Set by a scene that found the root of everything that later ones show: they are not judged."""

    def has(self, *conflicts: str) -> bool:
        """Return whether one of these conflicts was reported already: what would only follow is left out."""
        return any(reason.conflict in conflicts for reason in self.reasons)

    def breaks(self, *promises: int) -> bool:
        """Return whether a reason was given already why one of these promises is broken."""
        return not self.broken.isdisjoint(promises) or any(
            reason.promise in promises for reason in self.reasons
        )

    def add(self, scene: Scene[Any], said: Said) -> None:
        """Add what a scene says."""
        match said:
            case Kept(promise):
                self.kept.add((scene.name, promise))
            case Broken(promise):
                assert self.reasons, f"{scene.name} gave no reason why promise {promise} is broken"
                self.broken.add(promise)
            case reason if not any(_same_cause(reason, other) for other in self.reasons):
                self.reasons.append(reason)

    def found(self, scene: type[Scene[F]]) -> F | None:
        """Return what a scene found, even if it is judged after this one."""
        found: F | None = self.findings.get(scene)
        return found

    def keeps(self, scene: type[Scene[Any]], promise: int) -> bool:
        """Return whether a scene that was judged before found this promise kept."""
        return (scene.__name__, promise) in self.kept

    def expect(self, scene: type[Scene[F]]) -> F:
        """Return what a scene found that is never left out."""
        found: F = self.findings[scene]
        return found


@dataclass(frozen=True, kw_only=True)
class Check:
    """How a lesson's lab is checked: `CHECK` in its module `check`."""

    scenes: tuple[Scene[Any], ...]
    praise: Callable[[Judged], str]
    """Returns the sentence of a pass, with its best numbers."""
    leaves_nothing: int | None = None
    """Number of the promise that is broken by whatever is left behind at the very end."""
    leftovers_judged: tuple[str, ...] = ()
    """Kinds of leftovers that scenes judge themselves."""
    explains_tasks: tuple[str, ...] = ()
    """Conflicts that leave tasks behind: with one of them reported, tasks left at the end are not."""
    virtual: bool = False
    """Whether the lab runs in virtual time: for collaborators that are handed to it, not for servers."""
    connections: int = 100
    """Connections that the session may have; 0 for any number."""

    async def play(self, lab: ModuleType, line: "Line") -> None:
        """Drive each scene in turn and report what it found, in the child."""
        # Judging in the parent needs no client library; the child imports it before the lab.
        from loopclinic.lessons.core.stage import opened  # see above

        async with opened(line, connections=self.connections) as stage, stage.stack:
            for scene in self.scenes:
                stage.step(scene.title)
                found = await scene.drive(lab, stage)
                stage.findings[type(scene)] = found
                line.fact(scene.name, None if found is None else asdict(found))

    def judge(
        self,
        facts: Mapping[str, Any],
        contract: Mapping[int, str],
        left_behind: Sequence[Reason] | None,
    ) -> "Judgement":
        """Judge every scene that came to its end, from what the child reported, by name.

        `contract` has the text of each promise. `left_behind` says what was left behind at the very
        end, and is None where the trial did not get there.
        """
        found = {
            type(scene): from_json(scene.Found, facts[scene.name])
            for scene in self.scenes
            if facts.get(scene.name) is not None
        }
        judged = Judged(found)
        for scene in self.scenes:
            if type(scene) in found and not judged.enough:
                for said in scene.judge(found[type(scene)], judged):
                    judged.add(scene, said)
        explained = judged.has(*self.explains_tasks)
        for reason in left_behind or ():
            if explained and reason.conflict == "dropped-task" and reason.promise is not None:
                continue
            # An error that went unseen breaks no promise by itself, and may be what a scene reported.
            unseen = reason.promise is None and reason.conflict is not None
            if unseen and judged.has(str(reason.conflict), "dropped-gather-results"):
                continue
            judged.reasons.append(reason)
        promises = tuple(
            Promise(number, self._state(number, facts, judged, ended=left_behind is not None), text)
            for number, text in contract.items()
        )
        tested = {number for scene in self.scenes for number in scene.promises}
        unjudged = [it.number for it in promises if it.state != "kept" and it.number in tested]
        if unjudged and not judged.reasons and left_behind is not None:
            what = (
                f"Nothing was found wrong, but promise {unjudged[0]} could not be put to the test."
            )
            step = (
                "Run it again. If it stays so, see whether calls end sooner than the contract says."
            )
            judged.reasons.append(Reason(what, next_step=step, timed=True))
        reasons = tuple(sorted(dict.fromkeys(judged.reasons), key=_rank))
        # The trial is not over while a promise is not reached: there is nothing to praise yet.
        passed = not reasons and left_behind is not None
        return Judgement(reasons, promises, self.praise(judged) if passed else "")

    def _state(
        self, number: int, facts: Mapping[str, Any], judged: Judged, *, ended: bool
    ) -> PromiseState:
        """Return what became of a promise: never kept by silence."""
        if judged.breaks(number):
            return "broken"
        scenes = [scene.name for scene in self.scenes if number in scene.promises]
        if not ended and (
            number == self.leaves_nothing or any(name not in facts for name in scenes)
        ):
            return "not-reached"
        if number != self.leaves_nothing and not scenes:
            return "not-judged"
        return "kept" if all((name, number) in judged.kept for name in scenes) else "not-judged"


def _same_cause(one: Reason, other: Reason) -> bool:
    """Return whether two scenes found the same: one line, one promise, and one thing to do about it."""
    return one.line is not None and all(
        getattr(one, name) == getattr(other, name)
        for name in ("file", "line", "promise", "conflict", "next_step")
    )


def check_of(package: str) -> Check:
    """Return the check of the lesson in this package."""
    check: Check = importlib.import_module(f"{package}.check").CHECK
    return check


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a trial shows: reasons (the root first), the contract's promises, the sentence of a pass."""

    reasons: tuple[Reason, ...]
    promises: tuple[Promise, ...] = ()
    praise: str = ""


def _rank(reason: Reason) -> int:
    """Return where a reason stands: the root first.

    One without a conflict (a wrong result) comes before every conflict but those that keep the loop
    itself, its threads or its pool.
    """
    return CONFLICTS[reason.conflict or "missing-deadline"].rank


def from_json(kind: Any, value: Any) -> Any:
    """Return a finding of this type from what `dataclasses.asdict` and JSON made of it."""
    origin, inside = get_origin(kind), get_args(kind)
    if value is None:
        return None
    if origin in (Union, UnionType):
        (kind,) = (one for one in inside if one is not NoneType)  # no finding needs more
        return from_json(kind, value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        known = {one.name: from_json(hints[one.name], value[one.name]) for one in fields(kind)}
        return kind(**known)
    if origin is tuple and inside[1:] != (...,):
        return tuple(from_json(one, part) for one, part in zip(inside, value, strict=True))
    if origin in (list, tuple):
        return origin(from_json(inside[0], part) for part in value)
    if origin is dict:
        return {inside[0](key): from_json(inside[1], part) for key, part in value.items()}
    return value
