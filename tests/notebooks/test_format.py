"""What every notebook must look like in the repository, and what its prose must not do."""

import ast
import contextlib
import importlib
import json
import re
from types import ModuleType

import format_notebooks
import nbformat
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

_TREE = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

every = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)


def prose(cell) -> str:
    """Return the words of a Markdown cell: no code, no addresses."""
    text = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
    text = re.sub(r"`[^`]*`", "", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


def test_there_are_notebooks():
    assert [str(notebook) for notebook in NOTEBOOKS][:2] == ["00_start_here", "01_blocking_sleep"]


@every
def test_file_is_kept_as_written_by_hand(notebook):
    text = notebook.path.read_text(encoding="utf-8")
    data = json.loads(text)
    assert text == json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n", (
        "make format writes it as it is kept"
    )
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
    assert 12 <= len(notebook.cells()) <= 20
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
        assert kind in {"slide", "subslide", "fragment", "skip"}, cell.id
        if (spoken := cell.metadata.get("speaker")) is not None:
            assert spoken.keys() == {"minutes", "notes"}, cell.id
            assert spoken.notes.strip(), cell.id


@every
def test_first_cell_agrees_with_the_lesson(notebook):
    one = notebook.lesson
    first, *_ = notebook.cells()
    for said in (f"# {one.number} {one.title}\n", f"**{one.minutes} minutes.**"):
        assert said in first.source, (
            f"notebooks/{notebook}.ipynb: write {said!r} into cell {first.id}"
        )


@every
def test_speaker_minutes_add_up(notebook):
    spoken = [cell.metadata.speaker for cell in notebook.cells() if "speaker" in cell.metadata]
    assert sum(one.minutes for one in spoken) == notebook.lesson.minutes, (
        "the minutes of all `speaker` fields add up to `LESSON.minutes`"
    )


def test_the_page_of_speakers_notes_is_the_notebooks_own():
    page = (ROOT / format_notebooks.NOTES).read_text(encoding="utf-8")
    assert page == format_notebooks.speaker_notes(ROOT / "notebooks"), "make format writes it"
    for notebook in NOTEBOOKS:
        for cell in notebook.cells():
            assert cell.metadata.get("speaker", {}).get("notes", "") in page


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
        # Lesson 12 is about this call, which threads of a worker make there.
        source = (
            cell.source.replace("asyncio.run(", "")
            if notebook.lesson.number == "12"
            else cell.source
        )
        for word in ("pyplot", "nest_asyncio", "asyncio.run(", "get_event_loop", "%%", "!pip"):
            assert word not in source, f"{cell.id}: {word}"


@every
def test_the_cell_beside_the_lab_runs_by_itself(notebook):
    """A reader who comes back another day runs that cell alone, in a new kernel."""
    beside = [
        cell.source
        for cell in notebook.cells("code")
        if f'watch("{notebook.lesson.number}")' in cell.source
    ]
    assert len(beside) == (notebook.lesson.shipped is not None)
    for source in beside:
        nodes = [*ast.walk(compile(source, "lab", "exec", _TREE))]
        imported = {
            one.name for node in nodes if isinstance(node, ast.ImportFrom) for one in node.names
        }
        assert {node.id for node in nodes if isinstance(node, ast.Name)} <= imported


@every
def test_what_is_used_of_the_kit_is_there(notebook):
    modules, used = {}, []
    for cell in notebook.cells("code"):
        for node in ast.walk(compile(cell.source, cell.id, "exec", _TREE)):
            match node:
                case ast.ImportFrom(module=str(module)) if module.startswith("loopclinic"):
                    for name in node.names:
                        found = _of(module, name.name)
                        assert found is not None, f"{cell.id}: no {name.name} in {module}"
                        modules[name.asname or name.name] = found
                case ast.Attribute(value=ast.Name(id=owner)):
                    used.append((cell.id, owner, node.attr))
    for where, owner, name in used:
        if isinstance(modules.get(owner), ModuleType):
            assert hasattr(modules[owner], name), f"{where}: no {name} in {owner}"


def _of(module: str, name: str):
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.import_module(f"{module}.{name}")
    return getattr(importlib.import_module(module), name, None)


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


@pytest.mark.parametrize("file", sorted((ROOT / "data" / "executed").glob("*.json")), ids=str)
def test_what_slides_bring_along_belongs_to_cells_as_they_are(file):
    kept = {one.source for one in nbformat.read(file, as_version=4).cells}
    now = {one.source for one in nbformat.read(ROOT / "notebooks" / f"{file.stem}.ipynb", 4).cells}
    assert kept <= now, f"make executed ARGS={file.name[:2]}"


@pytest.mark.parametrize("file", sorted((ROOT / "data" / "executed").glob("*.json")), ids=str)
def test_what_slides_bring_along_does_not_name_the_folder_it_was_made_in(file):
    found = re.findall(
        r"(?<![\w.~/:-])/[\w./-]*/(?:labs|notebooks|solutions)\b", file.read_text("utf-8")
    )
    assert found == []


@every
def test_what_measures_can_be_shortened_and_a_cell_can_be_interrupted(notebook):
    tagged = [tag for cell in notebook.quick().cells for tag in cell.metadata.get("tags", ())]
    assert "blocks" in tagged
