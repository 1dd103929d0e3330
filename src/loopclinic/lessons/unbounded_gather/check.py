"""The check of lab 04: five scenes at a service that counts what arrives."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import Call, Check, Ending, Judged, Kept, Left, Scene
from loopclinic.lessons.core.verdicts import (
    AT_WORK,
    at,
    cancelled_cleanly,
    left_at_work,
    nested_loop,
)
from loopclinic.lessons.lesson import Budget
from loopclinic.lessons.unbounded_gather.posts import DuePost, Source, text_of
from loopclinic.lessons.wording import span
from loopclinic.servers import is_flaky
from loopclinic.units import count
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from loopclinic.lessons.core.stage import Stage

_pause = asyncio.sleep

__all__ = ["CHECK"]

IN_FLIGHT = Budget(
    1.0, "x limit", "A count, at the service. A limit that holds is never passed, not even by one."
)
FULL = Budget(
    0.45,
    "x limit in flight, on average",
    "By Little's law this is the throughput's share of the bound. A right answer keeps 0.9 and more in "
    "flight; batches that wait for their slowest 0.15, one by one 0.05.",
)
HELD = Budget(
    10,
    "x limit",
    "Posts taken and not yet done, and tasks. Workers on a queue hold 2 and 1; one task a post holds all "
    "there are; the check stops at 60.",
)
RETRY_AFTER = Budget(
    0.95,
    "x Retry-After",
    "Timers are never early: a right answer comes after 1, one that goes by its own judgment after half "
    "of it or less.",
)
CANCEL = Budget(
    0.5,
    "s",
    "A right answer takes a few milliseconds, one that goes on takes until the posts end.",
)

PROMPT = Budget(1.0, "s", "Where no post can be waited for, a right answer ends within some 50 ms.")

_LATENCY = 0.05
_ARRIVES = 0.2
"""Seconds in which requests are counted that should not come any more."""
_OWNED = "Let a TaskGroup own the workers, or cancel and await them in a finally."
_ADDRESS = "POST /v1/posts"
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
    shortest: float | None
    """Seconds until a post came again at the earliest, of those that may not come at once."""
    asked_twice: str = ""
    """What was raised because a task asked for a post while another one was waiting for it."""
    published: int = 0
    failed: list[str] | None = None
    """The keys of `failed`; None where what publish returned is no Summary."""


class _Publishing(Scene[Batch]):
    """A call of publish with some posts that were never seen before."""

    Found = Batch

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
        limit, source = limit_of(stage), Source(made(posts))
        call = publishing(lab, stage, source)
        async with stage.count_leftovers(call) as census:
            if meanwhile is not None:
                await meanwhile
            ending = await call.settled(cap)
            counts = await stage.upstream.counts()
            source.stopped = True  # what goes on has nothing more to send
        times = {n: counts.arrivals_of(text_of(n, kind)) for n, kind in posts.items()}
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
            shortest=min(gaps, default=None),
            asked_twice=_asked_twice(ending, call.value),
            **_summary(call.value),
        )

    def asked_twice(self, found: Batch) -> Iterator[Reason]:
        """Judge whether `posts` was asked by two tasks at once: what else is wrong only follows."""
        if found.asked_twice:
            yield Reason(
                "A task asked `posts` for the next post while another one was waiting for it: "
                f"{found.asked_twice}",
                **at(found.ending.place),
                promise=7,
                next_step="Let one task read `posts` and hand the posts on by a queue, or read them "
                "under an asyncio.Lock.",
            )

    def results(self, found: Batch, doing: str, wrong: str) -> Iterator[Reason | Kept]:
        """Judge what became of posts that can't be published, and of all others; at most one reason."""
        ending, place = found.ending, at(found.ending.place)
        if found.astray:
            yield Reason(
                f"{count(found.astray, 'request')} went elsewhere than to {_ADDRESS}: the service answered 404.",
                measured=count(found.astray, "request"),
                budget="0 requests",
                **place,
                promise=1,
                next_step=f"Send each post by {_ADDRESS}.",
            )
        elif ending.raised or ending.how == "cancelled":
            lost = len(found.missing)
            spread = lost > 0 and not _OF_A_POST.isdisjoint(ending.related)
            others = f" {count(lost, 'post')} of the others never went out." if lost else ""
            yield Reason(
                f"{doing}, and publish ended by {ending.said}.{others}",
                conflict="unisolated-failure" if spread else None,
                measured=f"{lost} posts not sent" if lost else None,
                budget="0 posts" if lost else None,
                **place,
                promise=4,
                next_step="Catch the failure of one post around that post, and note it in `failed`.",
            )
        elif found.missing and len(found.bad) == found.posts:
            yield Reason(
                f"{count(found.posts - len(found.missing), 'connection')} broke, and "
                f"{count(len(found.missing), 'other post')} never went out: publish "
                f"{ending if ending.overdue else 'returned'}.",
                conflict="unisolated-failure",
                measured=f"{len(found.missing)} posts not sent",
                budget="0 posts",
                **place,
                promise=4,
                timed=ending.overdue,
                next_step="Let a worker go on with the next post when one has failed.",
            )
        elif ending.overdue and found.repeated:
            return  # it sends some posts again and again: `repeats` says so
        elif not ending.returned:
            yield Reason(
                f"publish was not done after {span(ending.seconds)}, though all its posts could be.",
                **place,
                promise=1,
                timed=True,
                next_step="Return when the last post is done; a worker must learn that no more come.",
            )
        elif ending.unfinished > AT_WORK:
            return  # what it says of its posts can't be complete: `leftovers` says so
        elif found.failed is None:
            yield Reason(
                f"publish returned {ending.value}, which is no Summary.",
                promise=5,
                next_step="Return a Summary: `published` is a number, `failed` a dict by post id.",
            )
        elif found.missing:
            yield Reason(
                f"publish returned, and {count(len(found.missing), 'post')} never arrived at the "
                f"service{examples(found.missing)}.",
                measured=count(len(found.missing), "post"),
                budget="0 posts",
                **place,
                promise=1,
                next_step="Send every post, and wait for the last one before you return.",
            )
        elif unnoted := [number for number in found.bad if str(number) not in found.failed]:
            yield Reason(
                f"{doing}, and {len(unnoted)} of these are not in `failed`{examples(unnoted)}: nobody "
                "will ever know.",
                conflict="dropped-gather-results",
                measured=f"{len(unnoted)} of {len(found.bad)} lost",
                budget="0 lost",
                **place,
                promise=4,
                next_step="Note each failure by id where it happens, or look at every result.",
            )
        elif len(found.failed) != len(found.bad) or found.published != found.accepted:
            yield Reason(
                f"The service accepted {found.accepted} posts and failed {len(found.bad)} ({wrong}); "
                f"`published` is {found.published} and `failed` has {len(found.failed)}.",
                measured=f"{found.published} and {len(found.failed)}",
                budget=f"{found.accepted} and {len(found.bad)}",
                promise=5,
                next_step="Count a post when the service has accepted it, and fail it otherwise.",
            )
        else:
            yield from (Kept(1), Kept(4), Kept(5))

    def repeats(self, found: Batch, why: str) -> Iterator[Reason]:
        """Judge posts that came again though they must not."""
        if found.repeated:
            yield Reason(
                f"{count(len(found.repeated), 'post')} came again after being {why}"
                f"{examples(found.repeated)}: what was published may be published twice.",
                conflict="retry-storm",
                measured=count(len(found.repeated), "post"),
                budget="0 posts",
                **at(found.ending.place),
                promise=4 if set(found.repeated) <= set(found.bad) else 1,
                next_step="Send a post again after a 429 only.",
            )

    def leftovers(self, found: Batch, doing: str, judged: Judged) -> Iterator[Reason]:
        """Judge tasks that were at work when publish had returned."""
        ending, left = found.ending, found.left
        many = max(ending.unfinished, left.tasks)
        late = ending.unfinished > AT_WORK or left.tasks > 0
        if ending.returned and late and not judged.has("dropped-task"):
            yield left_at_work(
                f"publish returned while {count(many, 'task')} {doing}: its Summary can't know what "
                "becomes of these.",
                many,
                left.place or ending.place,
                promise=8,
            )


class Steady(_Publishing):
    """Many posts, a few of which take far longer and a few of which are turned away."""

    title, promises = "many posts, a limit of them at a time", (1, 2, 4, 5)
    posts, every = 300, 20
    """One post in `every` is a slow one, wherever a group of that many begins."""
    failing = 0.001
    """Share of all texts that are answered 503; every third post that is turned away has one."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> Batch:
        stage.step(f"{self.posts} posts, {limit_of(stage)} at a time")
        await stage.dials(
            latency=_LATENCY,
            slow=0.5,
            slow_for="video",
            status=422,
            status_for="banned",
            fail_first=64,
            fail_share=self.failing,
            only=_ADDRESS,
        )
        posts, last = new_posts(stage, self.posts), self.posts // 2
        ids, banned = list(posts), []
        for start in range(0, last, self.every):  # a slow one near the end would keep places empty
            slow, bad = stage.rng.sample(range(start, min(start + self.every, last)), 2)
            broken = start % (3 * self.every) == 0
            posts[ids[slow]] = "video"
            posts[ids[bad]] = self._broken(ids[bad]) if broken else "banned"
            banned.append(ids[bad])
        # A few more by chance.
        others = [n for n in ids if is_flaky(text_of(n, posts[n]), self.failing)]
        wrong = sorted({*banned, *others})
        found = await self.publish(lab, stage, posts, cap=3.0, bad=wrong)
        stage.vital(limit=found.limit, share_of_limit=round(found.mean / found.limit, 3))
        return found

    def _broken(self, number: int) -> str:
        """Return a kind of post that the service answers 503."""
        kinds = (f"broken {attempt}" for attempt in itertools.count())
        return next(kind for kind in kinds if is_flaky(text_of(number, kind), self.failing))

    def judge(self, found: Batch, judged: Judged) -> Iterator[Reason | Kept]:
        for reason in (*nested_loop([found.ending]), *self.asked_twice(found)):
            judged.enough = True
            yield reason
            return
        limit, mean, ending = found.limit, found.mean, found.ending
        if found.peak > limit:
            yield Reason(
                f"The service had {found.peak} requests in flight at once, with a limit of {limit}.",
                conflict="unbounded-gather",
                measured=f"{found.peak / limit:.1f} x limit",
                budget=str(IN_FLIGHT),
                **at(ending.place),
                promise=2,
                next_step="Share one limit: one semaphore for all posts, or one set of `limit` workers.",
            )
        slow = mean / limit < FULL.limit
        yield from self.leftovers(found, "were sending posts", judged)
        if not (slow and ending.overdue):  # too slow to be done: said below
            doing = f"{len(found.bad)} of {found.posts} posts were refused with 422 or 503"
            yield from self.results(found, doing, "422 or 503")
        yield from self.repeats(found, "accepted or refused for good")
        if not slow:
            yield Kept(2)
        elif not ending.raised and not (found.missing and ending.returned):  # it stopped early
            yield self._too_few(found)

    def _too_few(self, found: Batch) -> Reason:
        limit = found.limit
        if found.peak <= 1:
            why = "posts go one after another"
            step = "Keep `limit` posts under way: as many workers, on one queue."
        elif found.peak < limit // 2:
            why = f"there were never more than {found.peak}"
            step = "Use all of `limit`."
        else:
            why = "posts wait until the slowest of a group is done"
            step = "Start the next post when any of them is done, not when all are."
        return Reason(
            f"On average {found.mean:.1f} of {limit} places were in use: {why}. "
            f"{found.accepted / found.ending.seconds:.0f} posts/s came out of it.",
            conflict="sequential-awaits",
            measured=f"{found.mean / limit:.2f} x limit",
            budget=f"at least {FULL}",
            **at(found.ending.place),
            promise=2,
            timed=True,
            next_step=step,
        )


class Broken(_Publishing):
    """More posts whose connections break than there are places."""

    title, promises = "posts whose connections break", (4, 5)

    async def drive(self, lab: ModuleType, stage: "Stage") -> Batch:
        await stage.dials(refuse=1.0)
        # A worker that ends with the first post that fails is missed once there are none left.
        posts = new_posts(stage, 2 * limit_of(stage) + 5)
        return await self.publish(lab, stage, posts, cap=PROMPT.limit, bad=list(posts))

    def judge(self, found: Batch, judged: Judged) -> Iterator[Reason | Kept]:
        yield from self.leftovers(found, "were at broken connections", judged)
        # What goes wrong with posts that are refused goes wrong with these in the same way.
        if judged.keeps(Steady, 4):
            yield from self.results(found, f"{found.posts} of as many connections broke", "reset")
        if not judged.expect(Steady).repeated:
            yield from self.repeats(found, "broken off")


class Refusing(_Publishing):
    """A service that refuses far more posts than may be held, and some again and again.

    It says for how long to stay away: 2 s at first, and no time at all where it refuses again.
    """

    rest, closed_for, patience = 2, 0.4, 1.2
    """Seconds: that a refused post has to wait, that all are refused, and for what comes after that."""
    title, promises = f"posts that are answered 429, Retry-After {rest}", (3, 6)

    async def drive(self, lab: ModuleType, stage: "Stage") -> Batch:
        limit, again = limit_of(stage), "hurried"
        await stage.dials(
            capacity=0, latency=0.01, retry_after=self.rest, busy_first=5, busy_for=again
        )

        async def open_later() -> None:
            # The source is asked and the first requests leave while this sleeps.
            await stage.sleep(self.closed_for)
            await stage.upstream.set(capacity=None)

        posts, hurried = new_posts(stage, 15 * limit), new_posts(stage, limit, again)
        return await self.publish(
            lab,
            stage,
            posts | hurried,
            cap=self.rest + self.patience,
            at_once=list(hurried),
            closed_for=self.closed_for,
            meanwhile=open_later(),
        )

    def judge(self, found: Batch, judged: Judged) -> Iterator[Reason | Kept]:
        ending, rest, short = found.ending, self.rest, found.posts - found.accepted
        yield from self.leftovers(found, "were waiting to send refused posts again", judged)
        yield from self._held(found, judged.found(Crowd))
        common: dict[str, Any] = {"promise": 3, **at(ending.place)}
        wait = "Wait as long as Retry-After says, then send the post again."
        if found.shortest is not None and found.shortest < RETRY_AFTER.limit * rest:
            yield Reason(
                f"The service answered 429 and asked for {rest} s of rest; posts came again after "
                f"{span(found.shortest)}. In {span(self.closed_for)} it had to refuse "
                f"{count(found.refused, 'request')}.",
                conflict="retry-storm",
                measured=f"{found.shortest / rest:.2f} x Retry-After",
                budget=f"at least {RETRY_AFTER}",
                next_step="Sleep for the seconds in response.headers['Retry-After'] before you send it again.",
                **common,
            )
        elif ending.raised or ending.how == "cancelled":
            yield Reason(
                f"The service answered 429 to {count(found.refused, 'request')}, and publish ended by "
                f"{ending.said}.",
                next_step=f"A 429 means later: {wait[0].lower()}{wait[1:]}",
                **common,
            )
        elif ending.unfinished > AT_WORK:
            return  # `leftovers` says so
        elif short > 0 and ending.returned:
            yield Reason(
                f"{count(short, 'post')} of {found.posts} were answered 429, which means later, and were "
                f"not sent again: they are noted {'as failed' if found.failed else 'nowhere'}.",
                conflict=None if found.failed else "dropped-gather-results",
                measured=f"{short} posts given up",
                budget="0 posts",
                next_step=wait,
                **common,
            )
        elif not ending.returned and judged.has("sequential-awaits"):
            return  # too slow to be done: `Steady` says so
        elif not ending.returned:
            yield Reason(
                f"{span(ending.seconds)} after a service that refused everything for "
                f"{span(self.closed_for)} (Retry-After {rest}), {found.accepted} of {found.posts} posts "
                "were published and publish had not returned.",
                timed=True,
                next_step="Wait as long as Retry-After says, no longer, then send the post again.",
                **common,
            )
        elif short < 0 or found.published != found.posts:
            yield Reason(
                f"Of {found.posts} posts, each accepted after a 429 or without one, the service accepted "
                f"{found.accepted} and `published` is {found.published}.",
                next_step="Send a post again after a 429 only, and count it once.",
                **common,
            )
        else:
            yield Kept(3)

    def _held(self, found: Batch, crowd: "Crowd.Found | None") -> Iterator[Reason | Kept]:
        if found.held <= HELD.limit * found.limit:
            yield Kept(6)
        elif crowd is None or crowd.most <= HELD.limit * found.limit:
            yield Reason(
                f"While the service answered 429, {count(found.held, 'post')} were in memory, with a limit "
                f"of {found.limit}: more were taken while those that were refused had to wait.",
                conflict="unbounded-gather",
                measured=f"{found.held / found.limit:.0f} x limit",
                budget=str(HELD),
                **at(found.ending.place),
                promise=6,
                next_step="Let the source wait while as many posts are refused as there are places.",
            )


class LostSource(Scene["LostSource.Found"]):
    """Posts that raise in the middle."""

    title, promises = "posts that raise in the middle", (7,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How publish ended, and the requests that came when it was over."""

        ending: Ending
        left: Left
        requests_after: int

    async def drive(self, lab: ModuleType, stage: "Stage") -> "LostSource.Found":
        await stage.dials(latency=0.01)
        source = _LosingSource(made(new_posts(stage, 3 * limit_of(stage))))
        call = publishing(lab, stage, source)
        async with stage.count_leftovers(call) as census:
            ending = await call.settled(PROMPT.limit)
        return self.Found(ending, census.left, await stage.requests_after(0.1))

    def judge(self, found: "LostSource.Found", judged: Judged) -> Iterator[Reason | Kept]:
        del judged
        ending, left = found.ending, found.left
        common: dict[str, Any] = {"promise": 7, **at(ending.place)}
        if ending.overdue:
            yield Reason(
                f"`posts` raised in the middle, and publish was still waiting {span(ending.seconds)} later.",
                measured=f"more than {span(ending.seconds)}",
                budget=span(PROMPT.limit),
                timed=True,
                next_step="When reading `posts` fails, the workers must hear of it: a TaskGroup tells them.",
                **common,
            )
        elif _SourceLostError.__name__ not in ending.related:
            yield Reason(
                f"`posts` raised in the middle, and publish {ending if ending.raised else 'ended'} as if "
                "all were done.",
                next_step="Let an error of `posts` through: the caller must know that posts are missing.",
                **common,
            )
        elif left.tasks or found.requests_after:
            yield left_at_work(
                "`posts` raised in the middle; publish raised that error and left "
                f"{count(left.tasks, 'task')} at work.",
                left.tasks,
                left.place or ending.place,
                promise=7,
                next_step=_OWNED,
            )
        else:
            yield Kept(7)


class Crowd(Scene["Crowd.Found"]):
    """More posts than may be held; cancelled in the middle."""

    due, stopped = 100_000, 60
    """`stopped`: with more posts alive than so many times the limit, the source ends."""
    title = f"{due:,} posts that are due"
    promises: ClassVar[tuple[int, ...]] = (6, 8)
    dials: ClassVar[dict[str, float]] = {"latency": _LATENCY}
    after, doing = 0.8, "in the middle of its posts"
    """Seconds until it is cancelled."""

    @dataclass(frozen=True, slots=True)
    class Found:
        """What was held at most, and how publish ended."""

        ending: Ending
        early: bool
        """Whether it was over before it was cancelled."""
        left: Left
        limit: int
        stopped: bool
        """Whether the source ended because too many posts were held."""
        held: int
        tasks: int
        requests: int
        requests_after: int

        @property
        def most(self) -> int:
            """The most posts or tasks."""
            return max(self.held, self.tasks)

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Crowd.Found":
        found = await self.cancel(lab, stage)
        stage.vital(
            posts_held_at_most=found.held,
            tasks_at_most=found.tasks,
            requests_until_cancelled=found.requests,
        )
        return found

    async def cancel(self, lab: ModuleType, stage: "Stage") -> "Crowd.Found":
        """Publish, and cancel that after a while."""
        await stage.dials(**self.dials)
        limit = limit_of(stage)
        posts = new_posts(stage, self.due)
        source = Source(made(posts), most=self.stopped * limit)
        call = publishing(lab, stage, source)
        async with stage.count_leftovers(call) as census:
            await call.within(self.after)
            reached = await stage.upstream.counts()
            held, tasks = source.peak, census.peak
            stage.step(f"{self.due:,} posts that are due, cancelled {self.doing}")
            # It may have come to its end while the service was asked: there is nothing to cancel then.
            early = call.done
            ending = call.ending() if early else await call.cancelled(CANCEL.limit)
            after = await stage.requests_after(_ARRIVES)
            stopped = source.stopped and held > 0.9 * self.stopped * limit
            source.stopped = True
        return Crowd.Found(
            ending,
            early,
            census.left,
            limit,
            stopped,
            held,
            tasks,
            requests=reached.requests,
            requests_after=after,
        )

    def judge(self, found: "Crowd.Found", judged: Judged) -> Iterator[Reason | Kept]:
        ending, limit, most = found.ending, found.limit, found.most
        if most > HELD.limit * limit:
            if found.tasks > HELD.limit * limit:
                what = f"there were {found.tasks:,} tasks and {found.held:,} posts in memory"
                step = (
                    "Start `limit` workers that take posts from a small queue, or wait for a place "
                    "before you start the task, not inside of it."
                )
            else:
                what = f"{found.held:,} posts were in memory, though there were {found.tasks} tasks only"
                step = (
                    "Let the source wait: asyncio.Queue(maxsize=limit), or ask for a post per free "
                    "place."
                )
            yield Reason(
                f"With {self.due:,} posts due and a limit of {limit}, {what} after "
                f"{count(found.requests, 'request')}. "
                f"{'The check stopped there.' if found.stopped else 'And it went on.'}",
                conflict="unbounded-gather",
                measured=f"{most / limit:.0f} x limit",
                budget=str(HELD),
                **at(ending.place),
                promise=6,
                next_step=step,
            )
        elif not found.early:
            yield Kept(6)
        yield from self.ended(found, judged)
        if found.early and ending.returned and not found.stopped:
            yield Reason(
                f"With {self.due:,} posts due, publish returned after {span(ending.seconds)} and "
                f"{count(found.requests, 'request')}.",
                **at(ending.place),
                promise=1,
                next_step="Publish until `posts` has no more.",
            )

    def ended(self, found: "Crowd.Found", judged: Judged) -> Iterator[Reason | Kept]:
        """Judge how it ended when it was cancelled; what an earlier scene showed is not said again."""
        if found.early or judged.has("swallowed-cancellation"):
            return
        yield from cancelled_cleanly(
            found.ending,
            CANCEL,
            f"publish was cancelled {self.doing}",
            promise=8,
            next_step="Let CancelledError through: catch aiohttp.ClientError around a post, and no more.",
            owned=_OWNED,
            sent=found.requests_after,
            left=found.left,
            # To cancel thousands of tasks takes its time, and is reported by their number.
            late=not found.stopped,
        )


class Waiting(Crowd):
    """Posts that are refused; cancelled while they wait to be sent again."""

    title = "posts that are refused, cancelled while they wait"
    promises = (8,)
    dials: ClassVar[dict[str, float]] = {"capacity": 0, "retry_after": Refusing.rest}
    after, doing = 0.2, "while refused posts had to wait"

    async def drive(self, lab: ModuleType, stage: "Stage") -> Crowd.Found:
        return await self.cancel(lab, stage)

    def judge(self, found: Crowd.Found, judged: Judged) -> Iterator[Reason | Kept]:
        if judged.keeps(Crowd, 8) and not judged.has("dropped-task"):
            yield from self.ended(found, judged)


class _SourceLostError(Exception):
    """The database went away."""


class _LosingSource(Source):
    """Raises after two thirds of its posts."""

    async def read(self) -> AsyncGenerator[DuePost, None]:
        posts = list(self._posts)
        for post in posts[: 2 * len(posts) // 3]:
            await _pause(0)
            yield post
        raise _SourceLostError("the connection to the database was lost")


def limit_of(stage: "Stage") -> int:
    """Return the limit that publish is given: the same in all scenes of a check."""
    return Random(stage.seed).randrange(17, 24)  # noqa: S311 - replayable chance is the point


def new_posts(stage: "Stage", number: int, kind: str = "note") -> dict[int, str]:
    """Return the kinds of posts that were never seen before, by id."""
    first = stage.numbers(number)
    return dict.fromkeys(range(first, first + number), kind)


def made(kinds: Mapping[int, str]) -> Iterator[DuePost]:
    """Make each post when it is asked for, so that those in memory are those that somebody holds."""
    return (DuePost(number, text_of(number, kind)) for number, kind in kinds.items())


def publishing(lab: ModuleType, stage: "Stage", source: Source) -> Call:
    """Begin a call of the lab's publish."""
    posts, limit = source.read(), limit_of(stage)
    return Call(lambda: lab.publish(stage.session, posts, limit=limit), "publish")


def examples(numbers: Sequence[int]) -> str:
    """Return the numbers of a few posts, in brackets."""
    if len(numbers) > 5:  # noqa: PLR2004 - as many as a sentence bears
        return f" (among them {', '.join(map(str, numbers[:3]))})"
    return f" ({', '.join(map(str, numbers))})"


def _asked_twice(ending: Ending, summary: Any) -> str:
    failed = getattr(summary, "failed", None)
    noted = list(failed.values())[:100] if isinstance(failed, dict) else []
    return next((text for text in (ending.message, *map(str, noted)) if _TWICE in text), "")


def _summary(value: Any) -> dict[str, Any]:
    published, failed = getattr(value, "published", None), getattr(value, "failed", None)
    if isinstance(published, int) and isinstance(failed, dict) and len(failed) <= Crowd.due:
        return {"published": published, "failed": [*map(str, failed)]}
    return {}


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    steady, crowd = judged.expect(Steady), judged.expect(Crowd)
    return (
        f"{steady.mean / steady.limit:.0%} of a limit of {steady.limit} in use and never one more; with "
        f"{Crowd.due:,} posts due, {crowd.held} held and {crowd.tasks} tasks."
    )


CHECK = Check(
    scenes=(Steady(), Broken(), Refusing(), LostSource(), Crowd(), Waiting()),
    praise=praise,
    leaves_nothing=8,
    leftovers_judged=("tasks",),
)
