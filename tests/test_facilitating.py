"""docs/facilitating.md agrees with the lessons: minutes, hints, conflicts, commands, links."""

import re
import shlex
from pathlib import Path

import pytest

from loopclinic.cli.main import COMMANDS, main
from loopclinic.lessons import lesson
from loopclinic.lessons.catalogue import lessons
from loopclinic.lessons.start_here.lesson_plans import ROUTES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "facilitating.md"
TEXT = PAGE.read_text(encoding="utf-8")
LENGTHS = {one.name.capitalize(): one.within for one in ROUTES if one.within and one.numbers}


def agenda(title):
    part = re.search(rf"^### {title}\n(.*?)(?=^##)", TEXT, re.DOTALL | re.MULTILINE)[1]
    return [
        (int(minutes), what)
        for minutes, what in re.findall(r"^\| (\d+) \| (.*) \|$", part, re.MULTILINE)
    ]


def lessons_of(rows):
    found = [re.match(r"\[(\d\d) (.*?)\]\(\.\./notebooks/(.*)\.ipynb\)$", what) for _, what in rows]
    return [
        (one[1], one[2], one[3], minutes)
        for one, (minutes, _) in zip(found, rows, strict=True)
        if one
    ]


@pytest.mark.parametrize(("title", "minutes"), LENGTHS.items())
def test_an_agenda_adds_up_with_the_lessons_own_minutes(title, minutes):
    rows = agenda(title)
    assert sum(one for one, _ in rows) == minutes
    taken = lessons_of(rows)
    assert len(taken) >= 3
    before = set()
    for number, name, file, planned in taken:
        one = lesson(number)
        assert (one.title, one.name, one.minutes) == (name, file, planned)
        assert set(one.requires) <= before, f"{number} needs {one.requires} first"
        before.add(number)


def test_nobody_sits_for_longer_than_90_minutes():
    for title in LENGTHS:
        seated = 0
        for minutes, what in agenda(title):
            seated = 0 if what in ("Break", "Lunch") else seated + minutes
            assert seated <= 90, (title, what)


@pytest.mark.parametrize("title", LENGTHS)
def test_an_agenda_is_the_route_of_lesson_00(title):
    route = {one.name: one.numbers for one in ROUTES}[title.casefold()]
    rows = [what for _, what in agenda(title)]
    linked = [re.search(r"\(\.\./notebooks/(\d\d)_", what) for what in rows]
    assert tuple(one[1] for one in linked if one) == route


STUCK = re.findall(r"^\| (\d\d) \| `([a-z-]+)` \| .* \| (\d) \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("number", "conflict", "grade"), STUCK)
def test_what_people_get_stuck_on_is_what_the_check_finds(number, conflict, grade):
    one = lesson(number)
    assert conflict in one.conflicts
    assert 1 <= int(grade) <= len(one.hints)
    # A half-fix of this kind, whose verdict the labs' tests hold to this very conflict.
    fixes = (ROOT / "tests/labs/fixes" / number).rglob("half_*")  # files or folders
    assert any(path.stem.endswith(f"__{conflict}") for path in fixes)


def test_every_lab_has_its_row():
    labs = {one.number for one in lessons() if one.shipped is not None}
    lacking = sorted(labs - {number for number, *_ in STUCK})
    assert not lacking, (
        f"docs/{PAGE.name}: what do people get stuck on in {', '.join(lacking)}? "
        "Write a row: lesson, conflict, what they did, what to ask them, grade of the hint."
    )


def test_every_lesson_is_named_with_its_own_title():
    named = re.findall(r"\[(\d\d) ([^\]]*)\]\(\.\./notebooks/", TEXT)
    assert all(lesson(number).title == title for number, title in named)
    bare = re.findall(r"\[(\d\d)\]\(\.\./notebooks/", TEXT)
    known = {number for number, _ in named} | set(bare)
    lacking = [one for one in lessons() if one.number not in known]
    assert not lacking, f"docs/{PAGE.name}: link " + ", ".join(
        f"[{one.number} {one.title}](../notebooks/{one.name}.ipynb)" for one in lacking
    )


def test_the_lesson_that_may_stand_for_another_fits_its_place():
    stands, other = lesson("13"), lesson("03")
    assert stands.minutes == other.minutes
    for title in ("Half a day", "A day"):
        numbers = [number for number, *_ in lessons_of(agenda(title))]
        assert set(stands.requires) <= set(numbers[: numbers.index("03")])


def commands():
    inline = re.findall(r"`((?:loopclinic|make) [^`]*)`", TEXT)
    blocks = re.findall(
        r"^((?:loopclinic|make) .*)$",
        "\n".join(re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)),
        re.MULTILINE,
    )
    return [*inline, *blocks]


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_commands_and_their_options_exist(line, capsys):
    program, name, *rest = shlex.split(line)
    if program == "make":
        assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    assert name in COMMANDS
    words = [word for word in rest if name == "progress" and word in ("export", "summarize")]
    with pytest.raises(SystemExit):
        main([name, *words, "--help"])
    said = capsys.readouterr().out
    for option in (word for word in rest if word.startswith("--")):
        assert re.search(rf"{option}\b", said), option


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)", TEXT))))
def test_links_lead_somewhere(link):
    assert (PAGE.parent / link).exists()
