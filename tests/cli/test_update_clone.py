"""`loopclinic update` in a clone, against a repository beside this one: a learner's edits come through."""

import shutil
import subprocess
from pathlib import Path

import pytest

from loopclinic.cli import update_clone
from loopclinic.cli.laid_out_kit import UpdateError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FILES = {
    "labs/01_one.py": "shipped one\n",
    "labs/02_two.py": "shipped two\n",
    "notebooks/01_one.ipynb": "notebook one\n",
    "notebooks/02_two.ipynb": "notebook two\n",
    "README.md": "read me\n",
    "labs/README.md": "about labs\n",
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
    update_clone.update(learner)
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
    update_clone.update(learner)
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
    update_clone.update(learner)
    assert text(learner, "labs/01_one.py") == "mine one\n"
    assert text(learner, "labs/03_three.py") == "my own\n"
    assert text(learner, "labs/mine.py") == "x\n"
    assert text(learner, "labs/02_two.py") == "shipped two\n"


def test_a_page_beside_the_labs_is_no_lab(author, learner, capsys):
    write(learner, **{"labs/README.md": "my notes\n"})
    publish(author, **{"labs/README.md": "more about labs\n"})
    update_clone.update(learner)
    assert text(learner, "labs/README.md") == "more about labs\n"
    kept = capsys.readouterr().out.split("yours is kept as ")[1].splitlines()[0]
    assert Path(kept).read_text() == "my notes\n"


def test_nothing_new_changes_nothing(learner, capsys):
    write(learner, **{"labs/01_one.py": "mine one\n"})
    update_clone.update(learner)
    assert "up to date" in capsys.readouterr().out
    assert text(learner, "labs/01_one.py") == "mine one\n"


def test_offline_changes_nothing(learner, tmp_path):
    write(learner, **{"labs/01_one.py": "mine one\n"})
    (tmp_path / "kit.git").rename(tmp_path / "gone.git")
    with pytest.raises(UpdateError, match="Is this computer online"):
        update_clone.update(learner)
    assert text(learner, "labs/01_one.py") == "mine one\n"


def test_a_failure_half_way_puts_everything_back(author, learner, monkeypatch):
    write(learner, **{"labs/01_one.py": "mine one\n"})
    publish(author, **{"labs/01_one.py": "better one\n"})
    whole = update_clone.Clone.git

    def fail(clone, *arguments):
        if arguments[0] == "merge":
            raise KeyboardInterrupt
        return whole(clone, *arguments)

    monkeypatch.setattr(update_clone.Clone, "git", fail)
    with pytest.raises(KeyboardInterrupt):
        update_clone.update(learner)
    assert text(learner, "labs/01_one.py") == "mine one\n"


def test_own_commits_are_left_alone(author, learner):
    write(learner, **{"labs/01_one.py": "mine one\n"})
    git(learner, "commit", "-qam", "mine")
    publish(author, **{"README.md": "newer\n"})
    with pytest.raises(UpdateError, match="git pull --rebase"):
        update_clone.update(learner)


def test_a_folder_that_is_no_clone(tmp_path):
    with pytest.raises(UpdateError, match="is no git clone"):
        update_clone.update(tmp_path)
