"""A design review: what it concludes, and its page, Markdown and JSON."""

import json
import re
from dataclasses import replace

import pytest

from loopclinic.conflicts import TREATMENTS
from loopclinic.design.compared_code import Subject, closure
from loopclinic.design.review import Circumstances, DesignReview, compare
from loopclinic.drawing.document import InlinePage
from loopclinic.load.comparison import Comparison
from loopclinic.load.conclusion import worse
from loopclinic.load.request_schedule import Load
from loopclinic.load.variant import Variant
from loopclinic.load.vitals import Latency, Vitals
from loopclinic.probe import Lag, Stall
from loopclinic.runner.wording import shown
from tests.runner.outline import Outline

CARRIERS = """
import time

def quote(parcel):
    time.sleep(0.06)  # a < b & "c" |
    return parcel
"""
BEFORE = """
import asyncio
from carriers import quote

async def handler(request):
    return cheaper(request.number)

def cheaper(parcel):
    return quote(parcel)
"""
AFTER = """
import asyncio
from carriers import quote

async def handler(request):
    return await asyncio.to_thread(quote, request.number)
"""
LOAD = Load(rate=40, seconds=0.5, arrivals="uniform", method="GET")


@pytest.fixture(scope="module")
def review(tmp_path_factory) -> DesignReview:
    """The one real run: a blocking design and its cure."""
    folder = tmp_path_factory.mktemp("shop")
    for name, source in (("carriers", CARRIERS), ("before", BEFORE), ("after", AFTER)):
        (folder / f"{name}.py").write_text(source, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LOOPCLINIC_HOME", str(tmp_path_factory.mktemp("home")))
        yield compare(
            "before.py:handler", "after.py:handler", load=LOAD, warmup=0.1, rounds=3, progress=False
        )


@pytest.fixture(scope="module")
def page(review) -> str:
    return review.to_html("Quotes, before & after")


def test_it_says_what_differs_where_it_stalled_and_why(review):
    assert review.variants == ("before:handler", "after:handler")
    said = r"before:handler stalls its loop \d+ % of the time at carriers\.py:5; its (slowest|median) request takes .*s, after:handler's .*s\."
    assert re.match(said.replace(" %", "%"), review.headline)
    assert not worse(review)
    place = review.places("before:handler")[0]
    assert place.worst["file"].endswith("carriers.py")
    assert place.code.startswith("time.sleep(0.06)")
    assert place.conflict == "blocking-sleep"
    (found,) = [one for one in review.evidence if one.finding.confidence != "hint"]
    assert found.variants == ("before:handler",)
    assert (found.finding.file, found.finding.kind) == ("before.py", "blocking-sleep")
    assert [frame.function for frame in found.finding.chain] == ["handler", "cheaper", "quote"]
    subject = review.subjects[0]
    assert subject.where == "before.py:5"
    assert subject.code.startswith("async def handler(request):")
    assert {file.name for file in subject.files} == {"before.py", "carriers.py"}


def test_the_page_needs_nothing_but_itself(page):
    outline = Outline(page)
    assert outline.open == []
    assert not re.search(r"//|url\((?!#)|@import|xmlns", page), (
        "no address, not even a relative one"
    )
    names = {name for name, _ in outline.tags}
    assert not {"script", "link", "img", "iframe", "object", "image"} & names
    assert not any(key.startswith("on") for _, attributes in outline.tags for key in attributes)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [
        attributes.get("href") or attributes.get("xlink:href")
        for name, attributes in outline.tags
        if name in ("a", "use")
    ]
    assert links
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    assert "@media print" in page


def test_the_page_tells_all_that_a_review_asks_for(review, page):
    words = Outline(page).words
    # On a starved machine the cure is late, too, for reasons that have no line of its own.
    stalled = bool(review.places("after:handler"))
    assert ("No stall over 50 ms in after:handler." in words) != stalled
    for part in (
        "Quotes, before & after",
        review.headline,
        "before:handler, async callable (before.py:5)",
        "40 requests/s for 0.5 s, uniform arrivals",
        "3, interleaved, after 100 ms of warm-up",
        "CPython 3.",
        "loopclinic compare before.py:handler after.py:handler --rate 40 --seconds 0.5",
        "slowest request",
        "Everything else is 'no difference'.",
        'time.sleep(0.06) # a < b & "c" |',
        "carriers.py:5, quote calls time.sleep",
        f"Lesson 01, {TREATMENTS['blocking-sleep'][1]}, treats it",
        "return await asyncio.to_thread(quote, request.number)",
        "with the rights of whoever ran them",
    ):
        assert part in words, part


def test_markdown_keeps_its_table_whole_whatever_the_code_holds(review):
    text = review.to_markdown()
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert len(table) > 10
    assert f"**{review.headline.replace('_', chr(92) + '_')}**" in text
    assert "`carriers.py:5`" in text
    assert "loopclinic compare before.py:handler" in text
    assert "](" not in text, "no address"


def test_json_rebuilds_it(review):
    again = DesignReview.from_dict(json.loads(review.to_json()))
    assert again.headline == review.headline
    assert again.evidence == review.evidence
    assert again.circumstances == review.circumstances
    assert again.to_markdown() == review.to_markdown()


def test_it_is_saved_as_its_suffix_says(review, tmp_path):
    assert review.save(tmp_path / "r.html").read_text("utf-8").startswith("<!doctype html>")
    assert review.save(str(tmp_path / "r.md")).read_text("utf-8").startswith("###")
    assert json.loads(review.save(tmp_path / "r.json").read_text("utf-8"))["schema"] == 1
    with pytest.raises(ValueError, match=r"let it end in \.html"):
        review.save(tmp_path / "r.pdf")


def test_a_notebook_shows_the_table_and_the_page_in_a_frame(review, page):
    assert "before:handler" in review._repr_html_()
    frame = InlinePage(page, 300)._repr_html_()
    outline = Outline(frame)
    ((name, attributes),) = outline.tags
    assert (name, attributes["sandbox"]) == ("iframe", "")
    assert attributes["srcdoc"] == page


def vitals(p99, *, lag=0.001, errors=0, stalls=()):
    return Vitals(
        throughput=50.0,
        latency=Latency.of([p99 / 2] * 50 + [p99]),
        lag=Lag(0.0, lag, lag, lag),
        utilization=0.1,
        sent=51,
        answered=51 - errors,
        peak_in_flight=1,
        tasks=1,
        threads=0,
        makespan=1.0,
        errors={"ValueError": errors} if errors else {},
        stalls=stalls,
    )


def measured(*series, names=("a", "b"), load=None) -> Comparison:
    rounds = tuple(tuple(one) for one in series)
    return Comparison(names[: len(rounds)], rounds, load or Load())


CALM, NOISY = (0.100, 0.104, 0.099), (0.101, 0.100, 0.102)


@pytest.mark.parametrize(
    ("rounds", "said", "bad"),
    [
        ((CALM, NOISY), "No difference between a and b under this load.", False),
        ((CALM, (0.3, 0.31, 0.32)), "b's slowest request takes 310 ms, a's 100 ms.", True),
        (((0.3, 0.31, 0.32), CALM), "a's slowest request takes 310 ms, b's 100 ms.", False),
        ((CALM[:2], NOISY[:2]), "can't be told from 2 rounds: give three or more", False),
        ((CALM,), "a's slowest request takes 100 ms.", False),
    ],
)
def test_the_conclusion(rounds, said, bad):
    found = measured(*([vitals(one) for one in series] for series in rounds))
    assert said in found.headline
    assert worse(found) is bad


def test_failures_where_there_were_none_are_worse_and_told_in_numbers():
    found = measured([vitals(0.1) for _ in range(3)], [vitals(0.1, errors=2 + n) for n in range(3)])
    assert found.headline == "3 of b's requests fail in a round, 0 of a's."
    assert worse(found)


def test_a_batch_is_judged_by_its_makespan():
    series = [[replace(vitals(0.1), makespan=seconds, batch=True)] * 3 for seconds in (4.0, 2.0)]
    found = measured(*series, load=Load(jobs=9))
    assert found.headline == "a's batch takes 4.00 s, b's 2.00 s."


def test_the_sentence_names_the_line_its_share_and_the_price():
    stall = Stall(0.1, 0.63, "/srv/shop/carriers.py", 22, "f", "time.sleep(0.63)")
    slow = [vitals(0.289, stalls=(stall,))] * 5
    quick = [replace(vitals(0.046), threads=4)] * 5
    found = measured(slow, quick, names=("before", "after"))
    assert found.headline == (
        "before stalls its loop 63% of the time at carriers.py:22; its slowest request takes "
        "289 ms, after's 46.0 ms. The price of after: 4 threads instead of 0."
    )


def test_of_many_variants_the_best_is_named_and_those_that_make_it_worse():
    series = ([vitals(one)] * 5 for one in (0.3, 0.1, 0.31, 0.2, 0.9))
    found = measured(*series, names=("first", "best", "same", "better", "worst"))
    assert found.headline == (
        "first's slowest request takes 300 ms, best's 100 ms. "
        "worst's slowest request takes 900 ms, first's 300 ms. No difference between first and same."
    )
    few = measured(*([vitals(0.1)] * 2 for _ in "abc"), names=("a", "b", "c"))
    assert few.headline.startswith("Whether a, b and c differ can't be told from 2 rounds")


def test_most_callers_are_spoken_of_and_stand_in_rows_of_their_own():
    def grouped(healthy, flaky):
        groups = {"healthy": Latency.of([healthy] * 9), "flaky": Latency.of([flaky])}
        return replace(vitals(flaky), groups=groups)

    found = measured([grouped(0.5, 0.8)] * 3, [grouped(0.02, 0.8)] * 3)
    assert found.most == "healthy"
    assert found.headline == "a's slowest healthy request takes 500 ms, b's 20.0 ms."
    (row,) = [line for line in str(found).splitlines() if "slowest request, healthy" in line]
    assert row == "slowest request, healthy: a 500 ms; b 20.0 ms; difference 480 ms less"


@pytest.mark.parametrize(
    ("requests", "percentiles"), [(30, []), (60, ["p95"]), (250, ["p95", "p99"])]
)
def test_a_percentile_is_shown_only_where_requests_are_beyond_it(requests, percentiles):
    run = replace(vitals(0.1), latency=Latency.of([0.01] * (requests - 1) + [0.1]))
    found = measured([run] * 3, [run] * 3)
    names = [figure.name for figure in found.figures]
    assert [name for name in names if name in ("p95", "p99")] == percentiles
    assert names[0] == "max"
    assert ("latency p99" in str(found)) is ("p99" in percentiles)


def test_json_has_the_sentence_and_the_intervals():
    found = measured([vitals(one) for one in CALM], [vitals(one) for one in (0.3, 0.31, 0.32)])
    values = json.loads(found.to_json())
    assert values["headline"] == found.headline
    slowest = values["differences"]["b"]["max"]
    assert slowest["found"] is True
    assert 0 < slowest["low"] < slowest["mean"] < slowest["high"]


def reviewed(comparison, **more):
    """Build a review of synthetic figures."""
    values = {name: getattr(comparison, name) for name in comparison.__dataclass_fields__}
    subjects = tuple(Subject(name, "cell [4], line 2") for name in comparison.variants)
    given = {
        "served": ("async callable",) * len(comparison.variants),
        "subjects": subjects,
        "evidence": (),
        "circumstances": Circumstances.now(),
        "warmup": 0.5,
        "command": "loopclinic.compare(a, b)",
    }
    return DesignReview(**{**values, **given, **more})


def test_names_and_code_can_not_break_the_page_or_the_markdown():
    stall = Stall(0.1, 0.2, "/srv/<b>.py", 3, "f", "x = '`|</pre><script>'", conflict="cpu-bound")
    names = ("<script>alert(1)</script>", "b | `c` *d*")
    hostile = reviewed(
        measured([vitals(0.1, stalls=(stall,))] * 3, [vitals(0.1)] * 3, names=names),
        command="x --html '<i>'",
    )
    outline = Outline(hostile.to_html())
    assert "script" not in {name for name, _ in outline.tags}
    assert "<script>alert(1)</script>" in outline.words
    table = [line for line in hostile.to_markdown().splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def test_no_difference_is_the_first_thing_that_every_form_says():
    same = reviewed(measured([vitals(one) for one in CALM], [vitals(one) for one in NOISY]))
    said = "No difference between a and b under this load."
    assert said in Outline(same.to_html()).words
    assert same.to_markdown().splitlines()[2] == f"**{said}**"
    assert json.loads(same.to_json())["headline"] == said
    assert "No variant stands in a file that could be scanned." in Outline(same.to_html()).words


@pytest.mark.parametrize(("rounds", "shown"), [(1, False), (2, False), (3, True)])
def test_only_a_difference_that_was_found_is_shown_as_one(rounds, shown):
    found = measured([vitals(0.1)] * rounds, [vitals(0.4)] * rounds)
    text = Outline(reviewed(found).to_html()).words
    assert ("300 ms more" in text) is shown
    assert ("too few rounds to tell" in text) is not shown
    kept = json.loads(reviewed(found).to_json())["differences"]["b"]
    assert ({one["found"] for one in kept.values()} == {None}) is not shown


def test_functions_are_repeated_by_a_call_and_files_by_a_command(monkeypatch, tmp_path):
    from loopclinic.design.review import _command

    async def typed(request):
        pass

    found = measured([vitals(0.1)], load=Load(rate=7, path="/x"))
    line = _command([Variant(typed)], found, 4, 0.5)
    assert line == "loopclinic.compare(typed, load=Load(rate=7, path='/x'), rounds=4, warmup=0.5)"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my app.py").write_text("")
    line = _command([Variant("my app.py:f")], replace(found, load=Load(jobs=5)), 3, 0)
    assert line == "loopclinic compare 'my app.py:f' --jobs 5 --rounds 3 --warmup 0"


def test_a_closure_follows_imports_of_the_project_and_no_others(tmp_path):
    package = tmp_path / "shop"
    (package / "db").mkdir(parents=True)
    files = {
        "shop/__init__.py": "",
        "shop/web.py": "import os, json\nfrom . import prices\nfrom shop.db import pool\n",
        "shop/prices.py": "from .web import handler  # a cycle\n",
        "shop/db/__init__.py": "",
        "shop/db/pool.py": "from ..broken import x\n",
        "shop/broken.py": "def (:\n",
        "shop/unused.py": "",
        "json.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    found = {file.relative_to(tmp_path).as_posix() for file in closure([package / "web.py"])}
    assert found == set(files) - {"shop/unused.py"}


def test_a_path_is_told_from_here_or_from_the_project(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert shown(str(tmp_path / "notebooks" / "a.py")) == "a.py"
    assert shown(str(tmp_path / "data" / "a.py")) == "data/a.py"
    assert shown("/elsewhere/a.py") == "/elsewhere/a.py"
