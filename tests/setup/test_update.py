"""`make update` against a repository beside this one: a learner's edits come through."""

import shutil
import subprocess
from pathlib import Path

import pytest
import update

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FILES = {
    "labs/01_one.py": "shipped one\n",
    "labs/02_two.py": "shipped two\n",
    "notebooks/01_one.ipynb": "notebook one\n",
    "notebooks/02_two.ipynb": "notebook two\n",
    "README.md": "read me\n",
}


def git(folder, *arguments):
    names = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", str(folder), *names, *arguments], check=True, capture_output=True)


def write(folder, **files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def publish(author, **files):
    write(author, **files)
    git(author, "add", "-A")
    git(author, "commit", "-qm", "newer")
    git(author, "push", "-q", "origin", "main")


@pytest.fixture
def author(tmp_path):
    git(tmp_path, "init", "-q", "--bare", str(tmp_path / "kit.git"))
    git(tmp_path, "clone", "-q", str(tmp_path / "kit.git"), str(tmp_path / "author"))
    author = tmp_path / "author"
    git(author, "checkout", "-q", "-B", "main")
    publish(author, **FILES)
    return author


@pytest.fixture
def learner(author, tmp_path):
    folder = tmp_path / "the learner's"
    git(tmp_path, "clone", "-q", "-b", "main", str(tmp_path / "kit.git"), str(folder))
    return folder


def text(folder, path):
    return (folder / path).read_text()


def test_edited_labs_stay_and_changed_ones_are_named(author, learner, capsys):
    write(learner, **{"labs/01_one.py": "mine one\n", "labs/02_two.py": "mine two\n"})
    publish(author, **{"labs/02_two.py": "better two\n", "README.md": "read me again\n"})
    assert update.main(learner) == 0
    assert text(learner, "labs/01_one.py") == "mine one\n"
    assert text(learner, "labs/02_two.py") == "mine two\n"
    assert text(learner, "README.md") == "read me again\n"
    said = capsys.readouterr().out
    assert "labs/01_one.py: yours stays\n" in said
    assert "loopclinic reset 02" in said
    assert "loopclinic reset 01" not in said


def test_a_run_notebook_gives_way_to_a_newer_one_and_is_kept(author, learner, capsys):
    write(learner, **{"notebooks/01_one.ipynb": "run one\n", "notebooks/02_two.ipynb": "run two\n"})
    publish(author, **{"notebooks/01_one.ipynb": "newer one\n"})
    assert update.main(learner) == 0
    assert text(learner, "notebooks/01_one.ipynb") == "newer one\n"
    assert text(learner, "notebooks/02_two.ipynb") == "run two\n"
    kept = capsys.readouterr().out.split("yours is kept as ")[1].splitlines()[0]
    assert Path(kept).read_text() == "run one\n"


def test_staged_deleted_and_own_files(author, learner):
    write(
        learner,
        **{"labs/01_one.py": "mine one\n", "labs/03_three.py": "my own\n", "labs/mine.py": "x\n"},
    )
    git(learner, "add", "labs/01_one.py", "labs/mine.py")
    (learner / "labs/02_two.py").unlink()
    publish(author, **{"labs/03_three.py": "shipped three\n"})
    assert update.main(learner) == 0
    assert text(learner, "labs/01_one.py") == "mine one\n"
    assert text(learner, "labs/03_three.py") == "my own\n"
    assert text(learner, "labs/mine.py") == "x\n"
    assert text(learner, "labs/02_two.py") == "shipped two\n"


def test_nothing_new_changes_nothing(learner, capsys):
    write(learner, **{"labs/01_one.py": "mine one\n"})
    assert update.main(learner) == 0
    assert "up to date" in capsys.readouterr().out
    assert text(learner, "labs/01_one.py") == "mine one\n"


def test_offline_changes_nothing(learner, tmp_path, capsys):
    write(learner, **{"labs/01_one.py": "mine one\n"})
    (tmp_path / "kit.git").rename(tmp_path / "gone.git")
    assert update.main(learner) == 2
    assert "Is this computer online?" in capsys.readouterr().err
    assert text(learner, "labs/01_one.py") == "mine one\n"


def test_a_failure_half_way_puts_everything_back(author, learner, monkeypatch):
    write(learner, **{"labs/01_one.py": "mine one\n"})
    publish(author, **{"labs/01_one.py": "better one\n"})
    whole = update.Clone.git

    def fail(clone, *arguments):
        if arguments[0] == "merge":
            raise KeyboardInterrupt
        return whole(clone, *arguments)

    monkeypatch.setattr(update.Clone, "git", fail)
    with pytest.raises(KeyboardInterrupt):
        update.main(learner)
    assert text(learner, "labs/01_one.py") == "mine one\n"


def test_own_commits_are_left_alone(author, learner, capsys):
    write(learner, **{"labs/01_one.py": "mine one\n"})
    git(learner, "commit", "-qam", "mine")
    publish(author, **{"README.md": "newer\n"})
    assert update.main(learner) == 2
    assert "git pull --rebase" in capsys.readouterr().err


def test_a_folder_that_is_no_clone(tmp_path, capsys):
    assert update.main(tmp_path) == 2
    assert "is no git clone" in capsys.readouterr().err
