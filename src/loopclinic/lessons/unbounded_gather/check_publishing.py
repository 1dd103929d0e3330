"""Shared by the scenes of lab 04: a call of publish, and what became of its posts, judged."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import Call, Ending, Judged, Kept, Left, Scene
from loopclinic.lessons.core.scene import Said
from loopclinic.lessons.core.verdicts import AT_WORK, broke, left_at_work, none_of
from loopclinic.lessons.unbounded_gather.posts import Source, text_of
from loopclinic.servers import digest_of
from loopclinic.units import count, span
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from loopclinic.lessons.core.stage import Stage

ADDRESS = "POST /v1/posts"
AFTER_429 = "Send a post again after a 429 only."
DUE = 100_000
"""Posts of the largest crowd."""
_TWICE = "asynchronous generator is already running"
_OF_A_POST = {"ClientError", "OSError"}
"""What a post that failed raises; anything else is a fault of another kind."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of some posts: by the publisher's word and by the service's."""

    ending: Ending
    left: Left
    limit: int
    posts: int
    bad: list[int]
    """Ids of posts that can't be published."""
    missing: list[int]
    """Ids of posts that never arrived."""
    repeated: list[int]
    """Ids of posts that came more than once."""
    accepted: int
    refused: int
    """Requests while the service was closed, of posts that may not come again at once."""
    peak: int
    mean: float
    """Requests in flight on average."""
    held: int
    """Posts in memory at the most."""
    astray: int
    """Requests that were sent elsewhere than the contract says."""
    changed: int
    """Requests with a body that is no post's."""
    shortest: float | None
    """Seconds until a post came again at the earliest, of those that may not come at once."""
    asked_twice: str = ""
    """What was raised because a task asked for a post while another one was waiting for it."""
    published: int = 0
    failed: list[str] | None = None
    """The keys of `failed` that have a reason; None where what publish returned is no Summary."""


class Publishing(Scene[Batch]):
    """A call of publish with some posts that were never seen before."""

    Found = Batch
    sent: ClassVar[set[str]] = set()
    """Digests of the posts of all scenes so far: what goes on from one comes in the next."""

    async def publish(
        self,
        lab: ModuleType,
        stage: "Stage",
        posts: Mapping[int, str],
        *,
        cap: float,
        bad: Sequence[int] = (),
        at_once: Sequence[int] = (),
        closed_for: float = 0.0,
        meanwhile: "Awaitable[None] | None" = None,
    ) -> Batch:
        """Publish posts of these kinds, wait `cap` seconds at most, and join what both sides say."""
        limit, source = limit_of(stage), Source(posts)
        call = publishing(lab, stage, source)
        async with stage.count_leftovers(call) as census:
            if meanwhile is not None:
                await meanwhile
            ending = await call.settled(cap)
            counts = await stage.upstream.counts()
            source.stopped = True  # what goes on has nothing more to send
        times = {n: counts.arrivals_of(text_of(n, kind)) for n, kind in posts.items()}
        self.sent.update(digest_of(text_of(n, kind)) for n, kind in posts.items())
        patient = [moments for number, moments in times.items() if number not in at_once]
        gaps = [b - a for moments in patient for a, b in itertools.pairwise(moments)]
        return Batch(
            ending,
            census.left,
            limit,
            len(posts),
            list(bad),
            missing=[number for number, moments in times.items() if not moments],
            repeated=[number for number, moments in times.items() if len(moments) > 1],
            accepted=counts.by_status.get(200, 0),
            refused=sum(moment < closed_for for moments in patient for moment in moments),
            peak=counts.peak_in_flight,
            mean=counts.seconds_in_flight / ending.seconds,
            held=source.peak,
            astray=counts.by_status.get(404, 0),
            changed=sum(len(counts.arrivals[one]) for one in counts.arrivals.keys() - self.sent),
            shortest=min(gaps, default=None),
            asked_twice=_asked_twice(ending, call.value),
            **_summary(call.value),
        )

    def asked_twice(self, found: Batch) -> Iterator[Said]:
        """Judge whether `posts` was asked by two tasks at once: what else is wrong only follows."""
        if found.asked_twice:
            said = "A task asked `posts` for the next post while another one was waiting for it: "
            step = "Let one task read `posts` and hand the posts on by a queue, or read them under an asyncio.Lock."
            yield broke(7, said + found.asked_twice, step, found.ending.place)

    def results(self, found: Batch, doing: str, wrong: str) -> Iterator[Said]:
        """Judge what became of posts that can't be published, and of all others; at most one reason."""
        ending, lost, place = found.ending, len(found.missing), found.ending.place
        promise, more, posts = 1, dict[str, Any](), none_of(lost, "post")
        unsent = posts | {"measured": f"{posts['measured']} not sent"}
        if found.astray:
            more, step = none_of(found.astray, "request"), f"Send each post by {ADDRESS}."
            said = f"{more['measured']} went elsewhere than to {ADDRESS}: the service answered 404."
        elif ending.raised or ending.how == "cancelled":
            promise = 4
            step = "Catch the failure of one post around that post, and note it in `failed`."
            said = f"{doing}, and publish ended by {ending.said}."
            if lost:
                said += f" {posts['measured']} of the others never went out."
                spread = not _OF_A_POST.isdisjoint(ending.related)
                more = unsent | {"conflict": "unisolated-failure" if spread else None}
        elif lost and len(found.bad) == found.posts:
            promise, step = 4, "Let a worker go on with the next post when one has failed."
            said = f"{count(found.posts - lost, 'connection')} broke, and {count(lost, 'other post')} never "
            said += f"went out: publish {ending if ending.overdue else 'returned'}."
            more = unsent | {"conflict": "unisolated-failure", "timed": ending.overdue}
        elif ending.overdue and found.repeated:
            return  # it sends some posts again and again: `repeats` says so
        elif not ending.returned:
            said = f"publish was not done after {span(ending.seconds)}, "
            said += "though all its posts could be."
            step = "Return when the last post is done; a worker must learn that no more come."
            more = {"timed": True}
        elif ending.unfinished > AT_WORK:
            return  # what it says of its posts can't be complete: `leftovers` says so
        elif found.failed is None:
            promise, place = 5, None
            said = f"publish returned {ending.value}, which is no Summary."
            step = "Return a Summary: `published` is a number, `failed` a dict by post id."
        elif lost:
            said = f"publish returned, and {posts['measured']} never arrived at the service"
            said, more = f"{said}{examples(found.missing)}.", posts
            step = "Send every post, and wait for the last one before you return."
        elif unnoted := [number for number in found.bad if str(number) not in found.failed]:
            promise, step = 4, "Note each failure by id where it happens, or look at every result."
            said = f"{doing}, and {len(unnoted)} of these are not in `failed` with a reason"
            said += f"{examples(unnoted)}: nobody will ever know."
            some = f"{len(unnoted)} of {len(found.bad)} lost"
            more = {"conflict": "dropped-gather-results", "measured": some, "budget": "0 lost"}
        elif len(found.failed) != len(found.bad) or found.published != found.accepted:
            promise, some = 5, f"{found.accepted} and {len(found.bad)}"
            said = f"The service accepted {found.accepted} posts and failed {len(found.bad)} ({wrong}); "
            said += f"`published` is {found.published} and `failed` has {len(found.failed)}."
            step = "Count a post when the service has accepted it, and fail it otherwise."
            more = {"measured": f"{found.published} and {len(found.failed)}", "budget": some}
        else:
            yield from (Kept(1), Kept(4), Kept(5))
            return
        yield broke(promise, said, step, place, **more)

    def changed(self, found: Batch) -> Reason:
        """Return the reason for bodies that no post has."""
        figures = none_of(found.changed, "request")
        said = f"{figures['measured']} came with a body that belongs to no post: it was empty, or changed."
        step = (
            "Send `body` as it is, also when a post is sent again: a stream can be read only once."
        )
        return broke(1, said, step, found.ending.place, **figures)

    def repeats(self, found: Batch, why: str) -> Iterator[Said]:
        """Judge posts that came again though they must not."""
        if found.repeated:
            figures = none_of(len(found.repeated), "post")
            said = f"{figures['measured']} came again after being {why}{examples(found.repeated)}: what was "
            said += "published may be published twice."
            promise = 4 if set(found.repeated) <= set(found.bad) else 1
            more = {"conflict": "retry-storm", **figures}
            yield broke(promise, said, AFTER_429, found.ending.place, **more)

    def leftovers(self, found: Batch, doing: str, judged: Judged) -> Iterator[Said]:
        """Judge tasks that were at work when publish had returned."""
        ending, left = found.ending, found.left
        many = max(ending.unfinished, left.tasks)
        late = ending.unfinished > AT_WORK or left.tasks > 0
        if ending.returned and late and not judged.has("dropped-task"):
            said = f"publish returned while {count(many, 'task')} {doing}: its Summary can't know what "
            place = left.place or ending.place
            yield left_at_work(f"{said}becomes of these.", many, place, promise=8)


def limit_of(stage: "Stage") -> int:
    """Return the limit that publish is given: the same in all scenes of a check."""
    return Random(stage.seed).randrange(17, 24)  # noqa: S311 - replayable chance is the point


def new_posts(stage: "Stage", number: int, kind: str = "note") -> dict[int, str]:
    """Return the kinds of posts that were never seen before, by id."""
    first = stage.numbers(number)
    return dict.fromkeys(range(first, first + number), kind)


def publishing(lab: ModuleType, stage: "Stage", source: Source) -> Call:
    """Begin a call of the lab's publish."""
    posts, limit = source.read(), limit_of(stage)
    return Call(lambda: lab.publish(stage.session, posts, limit=limit), "publish")


def examples(numbers: Sequence[int]) -> str:
    """Return the numbers of a few posts, in brackets."""
    many = len(numbers) > 5  # more than a sentence bears
    return f" ({'among them ' * many}{', '.join(map(str, numbers[: 3 if many else None]))})"


def _asked_twice(ending: Ending, summary: Any) -> str:
    failed = getattr(summary, "failed", None)
    noted = list(failed.values())[:100] if isinstance(failed, dict) else []
    return next((text for text in (ending.message, *map(str, noted)) if _TWICE in text), "")


def _summary(value: Any) -> dict[str, Any]:
    published, failed = getattr(value, "published", None), getattr(value, "failed", None)
    if isinstance(published, int) and isinstance(failed, dict) and len(failed) <= DUE:
        reasons = [str(number) for number, why in failed.items() if why]
        return {"published": published, "failed": reasons}
    return {}
