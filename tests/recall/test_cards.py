"""Cards: one for each notebook's guess, and an answer that a simulation agrees with, whatever is drawn."""

import ast
import asyncio
import contextlib
import heapq
import random
import time
from collections import deque
from itertools import pairwise

import pytest

from loopclinic.lessons import lessons
from loopclinic.lessons.schedules.virtual_time import VirtualLoop, virtual_clocks
from loopclinic.probe import garbage
from loopclinic.recall.cards import ANSWERS, CARDS, card_of
from tests.notebooks.notebooks import NOTEBOOKS

BY_LESSON = {card.lesson: card for card in CARDS}


def predictions():
    """Yield the lesson, the question and the unit of each Prediction in the notebooks."""
    for notebook in NOTEBOOKS:
        for cell in notebook.cells("code"):
            if "Prediction(" not in cell.source:
                continue
            tree = ast.parse(cell.source.replace("await ", ""))
            names = {
                node.targets[0].id: node.value.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Prediction":
                    asked = node.args[0]
                    given = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
                    question = names[asked.id] if isinstance(asked, ast.Name) else asked.value
                    yield notebook.lesson.number, question, given.get("unit", "s")


ASKED = list(predictions())


def test_each_lesson_with_a_lab_asks_and_has_its_card():
    labs = [one.number for one in lessons() if one.shipped is not None]
    assert [number for number, *_ in ASKED] == labs, "write one Prediction into each notebook"
    assert [card.lesson for card in CARDS] == labs, "write its card into recall/cards.toml"
    assert list(ANSWERS) == labs, "work its answer out in recall/cards.py"
    assert list(SIMULATED) == labs, "and by another way in SIMULATED below"


@pytest.mark.parametrize(("number", "question", "unit"), ASKED, ids=lambda it: str(it)[:20])
def test_a_question_has_the_card_of_its_lesson_and_unit(number, question, unit):
    cards = [card.lesson for card in CARDS if question.startswith(card.asked)]
    assert cards == [number], f"recall/cards.toml: let `asked` of card {number} begin {question!r}"
    assert card_of(question).unit == unit


def test_a_question_of_the_readers_own_has_none():
    assert card_of("How many are there?") is None


def stuck_loop(callers, pause):
    """01, in virtual time: the loop itself, with the sleeps on it."""

    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        tasks = [asyncio.ensure_future(retry()) for _ in range(callers)]
        await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return loop.time() - began

    async def retry():
        time.sleep(pause / 1000)

    return in_virtual_time(main())


def in_virtual_time(coroutine):
    loop = VirtualLoop()
    with virtual_clocks(loop):
        try:
            return loop.run_until_complete(coroutine)
        finally:
            loop.close()


def one_at_a_time(connections, query):
    free, clock, done = deque(range(connections)), 0, 0
    while clock + query <= 20_000:
        connection = free.popleft()
        clock += query  # the loop is in the driver
        done += 1
        free.append(connection)
    return done / 20


def unwritten(rate, delay):
    answered = [number / rate for number in range(rate * 10)]
    ends = answered[-1]
    return sum(at + delay / 1000 > ends + 1e-9 for at in answered)


def refused(places, posts):
    busy = 0
    for _ in range(posts):
        busy += busy < places
    return busy


def in_order(others, chain, limit):
    ticks, all_of_them = 0, others + chain
    while others + chain:
        ticks += 1
        beside = limit - (chain > 0)  # the best order: the long chain never waits
        chain, others = max(chain - 1, 0), max(others - beside, 0)
    return all_of_them / ticks


def behind(uploads, upload, threads):
    free = [0] * threads
    for _ in range(uploads):
        heapq.heappush(free, heapq.heappop(free) + upload)
    return free[0]


def line_by_line(line, hop):
    there, here = 0, 0
    for _ in range(500):
        there, here = there + hop + line, here + line
    return there / here


def turns(threads, interval):
    clock, queue = 0, deque([*range(threads), "loop"])
    while (one := queue.popleft()) != "loop":
        clock += interval
        queue.append(one)
    return clock / 1000


def check_then_count(limit, pool, calls):
    async def main():
        places, stored, sent = asyncio.Semaphore(pool), {"count": 0}, []

        async def send():
            async with places:
                await asyncio.sleep(0.01)
                count = stored["count"]
                await asyncio.sleep(0.01)
                if count < limit:
                    stored["count"] += 1
                    sent.append(1)

        await asyncio.gather(*(send() for _ in range(calls)))
        return len(sent)

    return in_virtual_time(main())


def collected(asleep, lost):
    """11: the real thing; garbage collection is no matter of time."""

    async def forgotten():
        await asyncio.get_running_loop().create_future()

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # that it destroyed some
        for work in [asyncio.sleep] * asleep:
            asyncio.ensure_future(work(60))  # noqa: RUF006 - nobody keeps it
        for _ in range(lost):
            asyncio.ensure_future(forgotten())  # noqa: RUF006
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        garbage.collect()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        return len(left)

    return asyncio.run(main())


def a_pool_each(tasks, threads, least):
    opened, pools = 0, {}
    for number in range(tasks):
        loop = (number % threads, number)  # asyncio.run: a new loop in the same thread
        if loop not in pools:
            pools[loop] = least
            opened += least
    return opened


def half_moved(endpoints, calls):
    code = [["blocks"] * calls for _ in range(endpoints)]
    for endpoint in code:
        endpoint[0] = "in a thread"
    return sum(endpoint.count("blocks") for endpoint in code)


def second_connection(queued, together, size):
    async def main():
        workers, pool, stored = asyncio.Semaphore(together), asyncio.Semaphore(size), []

        async def audit():
            async with workers, pool:
                await asyncio.sleep(0.1)
                async with pool:
                    stored.append(1)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.gather(*(audit() for _ in range(queued)))
        return queued - len(stored)

    return in_virtual_time(main())


SIMULATED = {
    "01": stuck_loop,
    "02": one_at_a_time,
    "03": unwritten,
    "04": refused,
    "05": in_order,
    "06": behind,
    "07": line_by_line,
    "08": turns,
    "09": check_then_count,
    "10": lambda places, pages, attempts, timeout: behind(pages, attempts * timeout, places) / 1000,
    "11": collected,
    "12": a_pool_each,
    "13": half_moved,
    "14": second_connection,
}


@pytest.mark.parametrize("number", SIMULATED)
def test_the_answer_is_what_a_simulation_finds(number):
    card, rng = BY_LESSON[number], random.Random(5)
    for _ in range(12):
        given = {
            name: rng.randrange(first, last + 1, step)
            for name, (first, last, step) in card.numbers.items()
        }
        assert ANSWERS[number](**given) == pytest.approx(SIMULATED[number](**given), rel=0.01), (
            given
        )


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.lesson)
def test_numbers_are_fresh_and_stand_in_the_question(card):
    drawn = [card.draw(random.Random(seed)) for seed in range(40)]
    assert len({question for question, _, _ in drawn}) > 12
    assert len({answer for _, answer, _ in drawn}) >= 6
    assert any(first[1] != second[1] for first, second in pairwise(drawn))
    assert all("{" not in question + why and answer > 0 for question, answer, why in drawn)
    same = [card.draw(random.Random(7)) for _ in range(2)]
    assert same[0] == same[1]
