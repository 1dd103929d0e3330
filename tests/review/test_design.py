"""A design review: what it concludes, and its page, Markdown and JSON."""

import json
import re
from dataclasses import replace

import pytest

from loopclinic.lessons import treatments
from loopclinic.load import Comparison, Latency, Load, Variant, Vitals
from loopclinic.probe import Lag, Stall
from loopclinic.review.circumstances import Circumstances
from loopclinic.review.conclusion import conclusion, worse
from loopclinic.review.design import DesignReview, compare
from loopclinic.review.imports import closure
from loopclinic.review.inline import InlinePage
from loopclinic.review.subject import Subject
from loopclinic.review.wording import shown
from tests.review.outline import Outline

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
    assert re.match(r"after:handler against before:handler: .*latency p99 ÷", review.headline)
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
        "latency p99",
        "anything else is 'no difference'",
        'time.sleep(0.06) # a < b & "c" |',
        "carriers.py:5, quote calls time.sleep",
        f"Lesson 01, {treatments()['blocking-sleep'][1]}, treats it",
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
        ((CALM, (0.3, 0.31, 0.32)), r"b against a: .*latency p99 x3\.0 .*no difference in", True),
        (((0.3, 0.31, 0.32), CALM), r"b against a: .*latency p99 ÷3\.", False),
        ((CALM[:2], NOISY[:2]), "can't be told from 2 rounds: give three or more", False),
        ((CALM,), "a alone: .*latency p99", False),
    ],
)
def test_the_conclusion(rounds, said, bad):
    found = measured(*([vitals(one) for one in series] for series in rounds))
    assert re.search(said, conclusion(found))
    assert worse(found) is bad


def test_failures_where_there_were_none_are_worse_and_told_in_numbers():
    found = measured([vitals(0.1) for _ in range(3)], [vitals(0.1, errors=2 + n) for n in range(3)])
    assert "errors 3 instead of 0" in conclusion(found)
    assert worse(found)


def test_a_batch_is_judged_by_its_makespan():
    series = [[replace(vitals(0.1), makespan=seconds, batch=True)] * 3 for seconds in (4.0, 2.0)]
    assert "makespan ÷2.0" in conclusion(measured(*series, load=Load(jobs=9)))


def reviewed(comparison, **more):
    """A review of figures that were never measured."""
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


@pytest.mark.parametrize(("rounds", "shown"), [(2, False), (3, True)])
def test_only_a_difference_that_was_found_is_shown_as_one(rounds, shown):
    found = measured([vitals(0.1)] * rounds, [vitals(0.4)] * rounds)
    text = reviewed(found).to_html()
    assert "x4.0" in text
    assert ('class="apart"' in text) is shown


def test_functions_are_repeated_by_a_call_and_files_by_a_command(monkeypatch, tmp_path):
    from loopclinic.review.design import _command

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
