"""`loopclinic init` and `loopclinic update` with a package that carries the kit's files."""

import json
from pathlib import Path

import pytest

import loopclinic
from loopclinic import paths
from loopclinic.cli.main import main

FILES = {
    "labs/01_one.py": "shipped one",
    "labs/02_two.py": "shipped two",
    "labs/README.md": "about labs",
    "notebooks/01_one.ipynb": "notebook one",
    "notebooks/02_two.ipynb": "notebook two",
    "solutions/01_one.py": "solution one",
    "data/numbers/a.csv": "1",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The files that the installed package carries."""
    monkeypatch.setattr(paths, "_CARRIED", tmp_path / "package")
    monkeypatch.delenv("LOOPCLINIC_ROOT", raising=False)
    write(tmp_path / "package", FILES)
    return tmp_path / "package"


@pytest.fixture
def mine(package, tmp_path, monkeypatch):
    """A learner's folder, laid out, as the working directory."""
    folder = tmp_path / "the learner's"
    assert main(["init", str(folder)]) == 0
    monkeypatch.chdir(folder)
    return folder


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def contents(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_text()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }


def test_init_lays_out_a_kit_and_says_how_to_open_it(package, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "my kit"]) == 0
    assert contents(tmp_path / "my kit") == FILES
    assert paths.kit_root(tmp_path / "my kit" / "labs") == tmp_path / "my kit"
    assert capsys.readouterr().out == (
        "7 files of the kit are in my kit.\nNext: cd 'my kit', then loopclinic lab\n"
    )


def test_init_leaves_a_folder_that_is_in_use_alone(mine, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for name, words in (("mine", "not empty"), ("file", "not empty"), (mine, "loopclinic update")):
        assert main(["init", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err
    assert contents(tmp_path / "mine") == {"thesis.txt": "x"}


def test_init_from_a_clone_names_the_clone(tmp_path, capsys):
    assert main(["init", str(tmp_path / "new")]) == 2
    assert "clone" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_an_update_brings_what_is_new_and_keeps_edited_labs(mine, package, monkeypatch, capsys):
    write(mine, {"labs/01_one.py": "mine", "labs/02_two.py": "mine", "my notes.txt": "mine"})
    newer = {"labs/02_two.py": "better two", "labs/03_three.py": "three", "data/numbers/a.csv": "2"}
    write(package, newer)
    monkeypatch.setattr(loopclinic, "__version__", "9.9")
    capsys.readouterr()
    assert main(["update"]) == 0
    mine_now = {"labs/01_one.py": "mine", "labs/02_two.py": "mine", "my notes.txt": "mine"}
    assert contents(mine) == {**FILES, **newer, **mine_now}
    out = capsys.readouterr().out
    assert "labs/01_one.py: yours stays\n" in out
    assert "loopclinic reset 02" in out
    assert "labs/03_three.py: new" in out
    assert "loopclinic 9.9: 2" in out
    assert main(["update"]) == 0  # the second time there is nothing to bring
    assert "up to date" in capsys.readouterr().out
    assert contents(mine) == {**FILES, **newer, **mine_now}


def test_a_run_notebook_stays_until_there_is_a_newer_one(mine, package, capsys):
    write(mine, {"notebooks/01_one.ipynb": "run one", "notebooks/02_two.ipynb": "run two"})
    write(package, {"notebooks/01_one.ipynb": "newer one"})
    assert main(["update"]) == 0
    assert contents(mine)["notebooks/01_one.ipynb"] == "newer one"
    assert contents(mine)["notebooks/02_two.ipynb"] == "run two"
    kept = capsys.readouterr().out.split("yours is kept as ")[1].splitlines()[0]
    assert Path(kept).read_text() == "run one"


def test_what_is_missing_comes_back_and_what_the_kit_gave_up_goes(mine, package, capsys):
    (mine / "solutions/01_one.py").unlink()
    write(mine, {"notebooks/02_two.ipynb": "run two"})
    for path in ("data/numbers/a.csv", "notebooks/02_two.ipynb"):
        (package / path).unlink()
    assert main(["update"]) == 0
    assert "solutions/01_one.py: restored" in capsys.readouterr().out
    after = contents(mine)
    assert after["solutions/01_one.py"] == "solution one"
    assert "data/numbers/a.csv" not in after
    assert after["notebooks/02_two.ipynb"] == "run two"  # it was edited: nobody else has it


@pytest.mark.parametrize("damaged", ["", "[]", '{"files": 3}', "{"])
def test_a_damaged_list_changes_nothing(mine, package, damaged, capsys):
    write(mine, {"labs/01_one.py": "mine"})
    write(package, {"labs/02_two.py": "better"})
    (mine / ".loopclinic.json").write_text(damaged)
    before = contents(mine)
    assert main(["update"]) == 2
    assert "copy your labs" in capsys.readouterr().err
    assert contents(mine) == before


def test_an_update_that_is_interrupted_goes_on(mine, package, monkeypatch):
    write(package, {path: f"newer {text}" for path, text in FILES.items()})
    write(mine, {"labs/01_one.py": "mine"})
    from loopclinic.cli import laid_out_kit

    placed, put_back = [], laid_out_kit.put_back

    def interrupted(source, target, path):
        if len(placed) == 3:
            raise KeyboardInterrupt
        placed.append(path)
        put_back(source, target, path)

    monkeypatch.setattr(laid_out_kit, "put_back", interrupted)
    assert main(["update"]) == 130
    monkeypatch.setattr(laid_out_kit, "put_back", put_back)
    assert main(["update"]) == 0
    newer = {path: f"newer {text}" for path, text in FILES.items()}
    assert contents(mine) == {**newer, "labs/01_one.py": "mine"}
    listed = json.loads((mine / ".loopclinic.json").read_text())["files"]
    assert listed.keys() == FILES.keys()
