"""What every notebook must look like in the repository, and what its prose must not do."""

import ast
import json
import re

import pytest

from .notebooks import NOTEBOOKS, ROOT

ARC = [
    "Predict",
    "Break it",
    "Watch",
    "Diagnose",
    "Fix",
    "Benchmark",
    "Lab",
    "In a review, say this",
]

# A digit before a unit of time, rate or size, or a multiple: a measurement, typed.
MEASURED = re.compile(
    r"\b\d[\d.,]*\s?(?:ms|s|us|µs|min|seconds?|milliseconds?|/s|per second|requests?/s|%|percent"
    r"|times|x|MB|GB|kB)\b|\b\d+\s?%|\bx\d",
    re.IGNORECASE,
)

every = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)


def prose(cell) -> str:
    """The words of a Markdown cell: no code, no addresses."""
    text = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
    text = re.sub(r"`[^`]*`", "", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


def test_there_are_notebooks():
    assert [str(notebook) for notebook in NOTEBOOKS][:2] == ["00_start_here", "01_blocking_sleep"]


@every
def test_file_is_kept_as_written_by_hand(notebook):
    text = notebook.path.read_text(encoding="utf-8")
    data = json.loads(text)
    assert text == json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    assert (data["nbformat"], data["nbformat_minor"]) == (4, 5)
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    assert data["metadata"]["kernelspec"] == kernel


@every
def test_no_outputs_and_no_counts(notebook):
    for cell in notebook.cells("code"):
        assert cell.outputs == [], cell.id
        assert cell.execution_count is None, cell.id


@every
def test_cells_are_few_and_short(notebook):
    assert 12 <= len(notebook.readers_cells()) <= 20
    for cell in notebook.cells():
        if cell.cell_type == "markdown":
            words = prose(cell).split()
            assert len(words) <= 60, f"{cell.id}: {len(words)} words"
        else:
            assert len(cell.source.splitlines()) <= 15, cell.id
            assert max(map(len, cell.source.splitlines())) <= 88, cell.id


@every
def test_cell_metadata(notebook):
    ids = [cell.id for cell in notebook.cells()]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells():
        assert re.fullmatch(r"[a-z][a-z0-9-]{2,40}", cell.id), cell.id
        kind = cell.metadata.slideshow.slide_type
        assert kind in {"slide", "subslide", "fragment", "notes", "skip"}, cell.id
        if kind == "notes":
            # Folded in JupyterLab to its first line, shown by the slides' speaker view.
            assert cell.metadata.jupyter.source_hidden, cell.id
            assert re.match(r"Teaching this: \d+ minutes?\.\n\S", cell.source), cell.id


@every
def test_first_cell_agrees_with_the_lesson(notebook):
    one = notebook.lesson
    first, *_ = notebook.cells()
    assert first.source.splitlines()[0] == f"# {one.number} {one.title}"
    assert f"**{one.minutes} minutes.**" in first.source


@every
def test_speaker_minutes_add_up(notebook):
    minutes = [
        int(cell.source.split()[2])
        for cell in notebook.cells("markdown")
        if cell.metadata.slideshow.slide_type == "notes"
    ]
    assert sum(minutes) == notebook.lesson.minutes


@every
def test_lessons_with_a_lab_follow_the_arc(notebook):
    if notebook.lesson.shipped is None:
        pytest.skip("no lab, no arc")
    text = "\n".join(cell.source for cell in notebook.cells("markdown"))
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == ARC
    assert f"../labs/{notebook.lesson.shipped.name}" in text


@every
def test_prose_types_no_measurement(notebook):
    """Numbers that depend on the machine are printed by cells; prose that types them goes stale."""
    for cell in notebook.cells("markdown"):
        if cell.metadata.slideshow.slide_type == "notes":
            continue
        found = MEASURED.findall(prose(cell).replace(f"**{notebook.lesson.minutes} minutes.**", ""))
        assert not found, f"{cell.id}: {found}"


@pytest.mark.parametrize("typed", ["took 3.2 s", "a p99 of 40 ms", "12x faster", "200/s", "90 %"])
def test_the_rule_sees_typed_measurements(typed):
    assert MEASURED.search(typed)


@pytest.mark.parametrize("plain", ["lesson 01", "three sentences", "a status of 503", "p99", "S3"])
def test_the_rule_lets_other_numbers_be(plain):
    assert not MEASURED.search(plain)


@every
def test_code_is_python_without_the_forbidden(notebook):
    for cell in notebook.cells("code"):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(cell.source, cell.id, "exec", flags)
        for word in ("pyplot", "nest_asyncio", "asyncio.run(", "get_event_loop", "%%", "!pip"):
            assert word not in cell.source, f"{cell.id}: {word}"


@every
def test_links_lead_somewhere(notebook):
    for cell in notebook.cells("markdown"):
        for target in re.findall(r"\]\(([^)]+)\)", cell.source):
            if target.startswith("https://"):
                continue
            file, _, anchor = target.partition("#")
            path = (notebook.path.parent / file).resolve() if file else notebook.path
            assert path.is_relative_to(ROOT), f"{cell.id}: {target}"
            assert path.exists(), f"{cell.id}: {target}"
            if anchor and path.suffix == ".ipynb":
                assert anchor.replace("-", " ") in path.read_text(encoding="utf-8"), target


@every
def test_tone(notebook):
    for cell in notebook.cells("markdown"):
        assert "!" not in prose(cell), cell.id
        assert re.search(r"[\U0001F300-\U0001FAFF\u2600-\u27BF]", cell.source) is None, cell.id
