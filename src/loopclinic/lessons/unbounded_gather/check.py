"""Check of lab 04: six scenes; in each, the service counts the posts that reach it."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import Budget, Check, Ending, Judged, Kept, Left, Scene
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.scene import Said
from loopclinic.lessons.core.verdicts import (
    AT_WORK,
    broke,
    cancelled_cleanly,
    left_at_work,
    nested_loop,
    none_of,
)
from loopclinic.lessons.unbounded_gather.check_publishing import (
    ADDRESS,
    AFTER_429,
    DUE,
    Batch,
    Publishing,
    limit_of,
    new_posts,
    publishing,
)
from loopclinic.lessons.unbounded_gather.posts import DuePost, Source, text_of
from loopclinic.servers import is_flaky
from loopclinic.units import count, span
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

_pause = asyncio.sleep

IN_FLIGHT = Budget(1.0, "x limit", "A count, at the service: never passed, not even by one.")
FULL = Budget(
    0.75,
    "x limit in flight, on average",
    "By Little's law this is the throughput's share of the bound. A right answer keeps 0.9 in flight; one "
    "that refills its places when most are empty 0.6, batches that wait for their slowest 0.2, one by one 0.05.",
)
HELD = Budget(
    10,
    "x limit",
    "Posts taken and not yet done, and tasks. A queue: 2 and 1; a task a post: all there are.",
)
RETRY_AFTER = Budget(0.95, "x Retry-After", "Right: 1; one that goes by itself: half or less.")
CANCEL = Budget(0.5, "s", "A right answer takes milliseconds; one that goes on, its posts' time.")
PROMPT = Budget(1.0, "s", "Where no post can be waited for, a right answer ends within some 50 ms.")

_ARRIVES = 0.2
"""Seconds in which requests are counted that should not come any more."""
_OWNED = "Let a TaskGroup own the workers, or cancel and await them in a finally."


class Steady(Publishing):
    """Many posts, a few of which take far longer and a few of which are turned away."""

    title, promises = "many posts, a limit of them at a time", (1, 2, 4, 5)
    posts, every = 300, 20
    """One post in `every` is a slow one, wherever a group of that many begins."""
    failing = 0.001
    """Share of all texts that are answered 503; every third post that is turned away has one."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> Batch:
        stage.step(f"{self.posts} posts, {limit_of(stage)} at a time")
        slow = {"latency": 0.01, "jitter": 0.14, "slow": 0.5, "slow_for": "video"}
        bad = {"status": 422, "status_for": "banned", "fail_first": 64, "fail_share": self.failing}
        await stage.dials(only=ADDRESS, **slow, **bad)
        posts, last = new_posts(stage, self.posts), self.posts // 2
        ids, banned = list(posts), []
        for start in range(0, last, self.every):  # a slow one near the end would keep places empty
            group = ids[start : min(start + self.every, last)]
            video, bad_one = stage.rng.sample(group, 2)
            broken = start % (3 * self.every) == 0
            posts[video], posts[bad_one] = "video", self._broken(bad_one) if broken else "banned"
            banned.append(bad_one)
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

    def judge(self, found: Batch, judged: Judged) -> Iterator[Said]:
        for reason in (*nested_loop([found.ending]), *self.asked_twice(found)):
            judged.enough = True
            yield reason
            return
        limit, mean, ending = found.limit, found.mean, found.ending
        if found.peak > limit:
            said = (
                f"The service had {found.peak} requests in flight at once, with a limit of {limit}."
            )
            step = "Share one limit: one semaphore for all posts, or one set of `limit` workers."
            more = {"measured": f"{found.peak / limit:.1f} x limit", "budget": str(IN_FLIGHT)}
            yield broke(2, said, step, ending.place, conflict="unbounded-gather", **more)
        slow = mean / limit < FULL.limit
        yield from self.leftovers(found, "were sending posts", judged)
        if found.changed and not found.astray:
            yield self.changed(found)
        elif not (slow and ending.overdue):  # too slow to be done: said below
            doing = f"{len(found.bad)} of {found.posts} posts were refused with 422 or 503"
            yield from self.results(found, doing, "422 or 503")
        yield from self.repeats(found, "accepted or refused for good")
        if not slow:
            yield Kept(2)
        elif (broken := judged.found(Broken)) is not None and broken.missing:
            return  # workers end with what they fail at: `Broken` says so
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
            why = "posts wait until others of a group are done"
            step = "Start the next post when any of them is done, not when all are."
        rate, place = found.accepted / found.ending.seconds, found.ending.place
        said = f"On average {found.mean:.1f} of {limit} places were in use: {why}. "
        said += f"{rate:.0f} posts/s came out of it."
        more = {"measured": f"{found.mean / limit:.2f} x limit", "budget": f"at least {FULL}"}
        return broke(2, said, step, place, conflict="sequential-awaits", timed=True, **more)


class Broken(Publishing):
    """More posts whose connections break than there are places."""

    title, promises = "posts whose connections break", (4, 5)

    async def drive(self, lab: ModuleType, stage: "Stage") -> Batch:
        await stage.dials(refuse=1.0)
        # A worker that ends with the first post that fails is missed once there are none left.
        posts = new_posts(stage, 2 * limit_of(stage) + 5)
        return await self.publish(lab, stage, posts, cap=PROMPT.limit, bad=list(posts))

    def judge(self, found: Batch, judged: Judged) -> Iterator[Said]:
        yield from self.leftovers(found, "were at broken connections", judged)
        # What goes wrong with posts that are refused goes wrong with these in the same way.
        if judged.keeps(Steady, 4):
            yield from self.results(found, f"{found.posts} of as many connections broke", "reset")
        if not judged.expect(Steady).repeated:
            yield from self.repeats(found, "broken off")


class Refusing(Publishing):
    """A service that refuses far more posts than may be held, and some again and again.

    It says for how long to stay away: 2 s at first, and no time at all where it refuses again.
    """

    rest, closed_for, patience = 2, 0.4, 1.2
    """Seconds: that a refused post has to wait, that all are refused, and for what comes after that."""
    title, promises = f"posts that are answered 429, Retry-After {rest}", (3, 5, 6)

    async def drive(self, lab: ModuleType, stage: "Stage") -> Batch:
        limit, again = limit_of(stage), "hurried"
        busy: dict[str, Any] = {"busy_first": 5, "busy_for": again}
        await stage.dials(capacity=0, latency=0.01, retry_after=self.rest, **busy)

        async def open_later() -> None:
            # The source is asked and the first requests leave while this sleeps.
            await stage.sleep(self.closed_for)
            await stage.upstream.set(capacity=None)

        posts, hurried = new_posts(stage, 15 * limit), new_posts(stage, limit, again)
        closed: dict[str, Any] = {"closed_for": self.closed_for, "meanwhile": open_later()}
        closed |= {"cap": self.rest + self.patience, "at_once": list(hurried)}
        return await self.publish(lab, stage, posts | hurried, **closed)

    def judge(self, found: Batch, judged: Judged) -> Iterator[Said]:
        ending, rest = found.ending, self.rest
        short = found.posts - len(found.missing) - found.accepted
        yield from self.leftovers(found, "were waiting to send refused posts again", judged)
        yield from self._held(found, judged.found(Crowd))
        if found.changed:
            if not judged.breaks(1):
                yield self.changed(found)
            return
        promise, more = 3, dict[str, Any]()
        step = "Wait as long as Retry-After says, then send the post again."
        if found.shortest is not None and found.shortest < RETRY_AFTER.limit * rest:
            said = f"The service answered 429 and asked for {rest} s of rest; posts came again "
            said += f"after {span(found.shortest)}. In {span(self.closed_for)} it had to refuse "
            said += f"{count(found.refused, 'request')}."
            step = (
                "Sleep for the seconds in response.headers['Retry-After'] before you send it again."
            )
            more = {"conflict": "retry-storm", "budget": f"at least {RETRY_AFTER}"}
            more["measured"] = f"{found.shortest / rest:.2f} x Retry-After"
        elif ending.raised or ending.how == "cancelled":
            said = f"The service answered 429 to {count(found.refused, 'request')}, and publish ended by {ending.said}."
            step = "A 429 means later: wait as long as Retry-After says, then send the post again."
        elif ending.unfinished > AT_WORK:
            return  # `leftovers` says so
        elif short > 0 and ending.returned:
            said = f"{count(short, 'post')} of {found.posts} were answered 429, which means later, and were "
            said += f"not sent again: they are noted {'as failed' if found.failed else 'nowhere'}."
            more = {**none_of(short, "post"), "measured": f"{count(short, 'post')} given up"}
            if not found.failed:
                more["conflict"] = "dropped-gather-results"
        elif not ending.returned and judged.has("sequential-awaits"):
            return  # too slow to be done: `Steady` says so
        elif not ending.returned:
            said = f"{span(ending.seconds)} after a service that refused everything for "
            said += f"{span(self.closed_for)} (Retry-After {rest}), {found.accepted} of {found.posts} posts "
            said += "were published and publish had not returned."
            step = "Wait as long as Retry-After says, no longer, then send the post again."
            more = {"timed": True}
        elif found.accepted > found.posts:
            promise, step = 1, AFTER_429
            said = (
                f"The service accepted {found.accepted} times, where {found.posts} posts were due."
            )
        else:
            yield Kept(3)
            if found.published == found.accepted:
                yield Kept(5)
            if found.published == found.accepted or judged.breaks(5):
                return
            promise, step = 5, "Count a post once: when the service has accepted it."
            said = f"The service accepted {count(found.accepted, 'post')}, some of them after a 429, and "
            said += f"`published` is {found.published}."
            more = {"measured": str(found.published), "budget": str(found.accepted)}
        yield broke(promise, said, step, ending.place, **more)

    def _held(self, found: Batch, crowd: "Crowd.Found | None") -> Iterator[Said]:
        if found.held <= HELD.limit * found.limit:
            yield Kept(6)
        elif crowd is None or crowd.most <= HELD.limit * found.limit:
            said = f"While the service answered 429, {count(found.held, 'post')} were in memory, with a limit "
            said += f"of {found.limit}: more were taken while those that were refused had to wait."
            step = "Let the source wait while as many posts are refused as there are places."
            more = {"measured": f"{found.held / found.limit:.0f} x limit", "budget": str(HELD)}
            yield broke(6, said, step, found.ending.place, conflict="unbounded-gather", **more)


class LostSource(Scene["LostSource.Found"]):
    """Posts that raise in the middle."""

    title, promises = "posts that raise in the middle", (7,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How publish ended, and the requests that came when it was over."""

        ending: Ending
        """Its seconds count from when `posts` raised."""
        left: Left
        late: int | None
        """Posts that were sent after `posts` had raised; None where it did not come to that."""
        requests_after: int

    async def drive(self, lab: ModuleType, stage: "Stage") -> "LostSource.Found":
        # So slow that a post is still on its way when `posts` raises.
        await stage.dials(latency=0.5)
        limit = limit_of(stage)
        source = _LosingSource(new_posts(stage, limit + limit // 2), stage)
        call = publishing(lab, stage, source)
        async with stage.count_leftovers(call) as census:
            await call.within(1.0)
            gone = 0.0 if source.lost is None else stage.clock() - source.lost
            ending = await call.settled(max(0.0, PROMPT.limit - gone))
            counts = await stage.upstream.counts()
        late = None
        if source.lost is not None:
            ending = replace(ending, seconds=call.seconds(source.lost))
            late = counts.requests - source.sent
        return self.Found(ending, census.left, late, await stage.requests_after(0.1))

    def judge(self, found: "LostSource.Found", judged: Judged) -> Iterator[Said]:
        ending, left = found.ending, found.left
        if found.late is None and ending.overdue and judged.has("sequential-awaits"):
            return  # too slow to ask for all posts: `Steady` says so
        said = "`posts` raised in the middle"
        if ending.overdue:
            said += f", and publish was still waiting {span(ending.seconds)} later."
            step = (
                "When reading `posts` fails, the workers must hear of it: a TaskGroup tells them."
            )
            more = {"measured": f"more than {span(ending.seconds)}", "budget": span(PROMPT.limit)}
            yield broke(7, said, step, ending.place, timed=True, **more)
        elif _SourceLostError.__name__ not in ending.related:
            said += f", and publish {ending if ending.raised else 'ended'} as if all were done."
            step = "Let an error of `posts` through: the caller must know that posts are missing."
            yield broke(7, said, step, ending.place)
        elif left.tasks or found.requests_after:
            said += f"; publish raised that error and left {count(left.tasks, 'task')} at work."
            place = left.place or ending.place
            yield left_at_work(said, left.tasks, place, promise=7, next_step=_OWNED)
        elif found.late:
            some = count(found.late, "more post")
            said += f", and publish sent {some} before it raised that error."
            step = "Stop the workers when reading `posts` fails: a TaskGroup cancels them."
            yield broke(7, said, step, ending.place, **none_of(found.late, "post"))
        else:
            yield Kept(7)


class Crowd(Scene["Crowd.Found"]):
    """More posts than may be held; cancelled in the middle."""

    due, stopped = DUE, 60
    """`stopped`: with more posts alive than so many times the limit, the source ends."""
    title = f"{due:,} posts that are due"
    promises: ClassVar[tuple[int, ...]] = (6, 8)
    dials: ClassVar[dict[str, float]] = {"latency": 0.05}
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
        stage.vital(posts_held_at_most=found.held, tasks_at_most=found.tasks)
        stage.vital(requests_until_cancelled=found.requests)
        return found

    async def cancel(self, lab: ModuleType, stage: "Stage") -> "Crowd.Found":
        """Publish, and cancel that after a while."""
        await stage.dials(**self.dials)
        limit = limit_of(stage)
        source = Source(new_posts(stage, self.due), most=self.stopped * limit)
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
        seen = (held, tasks, reached.requests, after)
        return Crowd.Found(ending, early, census.left, limit, stopped, *seen)

    def judge(self, found: "Crowd.Found", judged: Judged) -> Iterator[Said]:
        ending, limit, most = found.ending, found.limit, found.most
        if most > HELD.limit * limit:
            if found.tasks > HELD.limit * limit:
                what = f"there were {found.tasks:,} tasks and {found.held:,} posts in memory"
                step = "Start `limit` workers that take posts from a small queue, or wait for a place before "
                step += "you start the task, not inside it."
            else:
                what = f"{found.held:,} posts were in memory, though there were {found.tasks} tasks only"
                step = "Let the source wait: asyncio.Queue(maxsize=limit), or ask for a post per free place."
                if found.held <= found.requests + limit:  # one that is sent is not let go
                    step = "Keep no post that is done: note its id at most."
            said = f"With {self.due:,} posts due and a limit of {limit}, {what} after "
            said += f"{count(found.requests, 'request')}. "
            said += "The check stopped there." if found.stopped else "And it kept on reading."
            more = {"measured": f"{most / limit:.0f} x limit", "budget": str(HELD)}
            yield broke(6, said, step, ending.place, conflict="unbounded-gather", **more)
        elif not found.early:
            yield Kept(6)
        yield from self.ended(found, judged)
        if found.early and ending.returned and not found.stopped:
            said = f"With {self.due:,} posts due, publish returned after {span(ending.seconds)} "
            said += f"and {count(found.requests, 'request')}."
            yield broke(1, said, "Publish until `posts` has no more.", ending.place)

    def ended(self, found: "Crowd.Found", judged: Judged) -> Iterator[Said]:
        """Judge how it ended when it was cancelled; what an earlier scene showed is not said again."""
        if found.early or judged.has("swallowed-cancellation"):
            return
        step = "Catch only aiohttp.ClientError and TimeoutError, or clean up only and raise CancelledError again."
        # To cancel thousands of tasks takes its time, and is reported by their number.
        late, who = not found.stopped, f"publish was cancelled {self.doing}"
        left: dict[str, Any] = {"sent": found.requests_after, "left": found.left, "late": late}
        yield from cancelled_cleanly(
            found.ending, CANCEL, who, promise=8, next_step=step, owned=_OWNED, **left
        )


class Waiting(Crowd):
    """Posts that are refused; cancelled while they wait to be sent again."""

    title = "posts that are refused, cancelled while they wait"
    promises = (8,)
    dials: ClassVar[dict[str, float]] = {"capacity": 0, "retry_after": Refusing.rest}
    after, doing = 0.2, "while refused posts had to wait"

    async def drive(self, lab: ModuleType, stage: "Stage") -> Crowd.Found:
        return await self.cancel(lab, stage)

    def judge(self, found: Crowd.Found, judged: Judged) -> Iterator[Said]:
        if judged.keeps(Crowd, 8) and not judged.has("dropped-task"):
            yield from self.ended(found, judged)


class _SourceLostError(Exception):
    """The database went away."""


class _LosingSource(Source):
    """Raises after its posts, when those that have a place are on their way."""

    def __init__(self, kinds: Mapping[int, str], stage: "Stage") -> None:
        super().__init__(kinds)
        self.lost: float | None = None
        """When it raised."""
        self.sent = 0
        """Requests until then."""
        self._stage = stage

    async def read(self) -> AsyncGenerator[DuePost, None]:
        for post in self._posts:
            await _pause(0)
            yield post
        await _pause(_ARRIVES)
        self.sent = (await self._stage.upstream.counts()).requests
        self.lost = self._stage.clock()
        raise _SourceLostError("the connection to the database was lost")


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    steady, crowd = judged.expect(Steady), judged.expect(Crowd)
    return (
        f"{steady.mean / steady.limit:.0%} of a limit of {steady.limit} in use and never one more; with "
        f"{Crowd.due:,} posts due, {crowd.held} held and {crowd.tasks} tasks."
    )


SCENES = (Steady(), Broken(), Refusing(), LostSource(), Crowd(), Waiting())
CHECK = Check(scenes=SCENES, praise=praise, leaves_nothing=8, leftovers_judged=("tasks",))

FIGURES = (Figure("posts_held_at_most", "Posts in memory, at most", "x limit", 2.06, per="limit"),)
