"""Where the kit's files and the state folder are found."""

import os

import pytest

from loopclinic.paths import KitNotFoundError, kit_root, state_dir


def kit(folder):
    for name in ("labs", "notebooks", "solutions"):
        (folder / name).mkdir(parents=True)
    return folder


def test_the_nearest_parent_with_labs_is_the_root(tmp_path, monkeypatch):
    monkeypatch.delenv("LOOPCLINIC_ROOT", raising=False)
    root = kit(tmp_path / "a path" / "ünïcode")
    (root / "notebooks" / "deep").mkdir()
    assert kit_root(root / "notebooks" / "deep") == root


def test_the_environment_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPCLINIC_ROOT", str(kit(tmp_path / "named")))
    assert kit_root(kit(tmp_path / "other")) == tmp_path / "named"


def test_a_wrong_environment_is_an_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPCLINIC_ROOT", str(tmp_path))
    with pytest.raises(KitNotFoundError, match=r"LOOPCLINIC_ROOT is .* unset it"):
        kit_root()


def test_the_state_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path / "new" / "home"))
    assert state_dir() == tmp_path / "new" / "home"
    assert state_dir().is_dir()


@pytest.mark.skipif(os.name != "posix", reason="a file in the way is told differently elsewhere")
def test_a_state_folder_that_cannot_be_made_names_the_repair(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(PermissionError, match="set LOOPCLINIC_HOME"):
        state_dir()


def test_a_folder_with_rooms_of_the_same_names_is_no_root(tmp_path, monkeypatch):
    monkeypatch.delenv("LOOPCLINIC_ROOT", raising=False)
    root = kit(tmp_path)
    for name in ("labs", "notebooks"):  # as the kit's own tests have
        (root / "tests" / name).mkdir(parents=True)
    assert kit_root(root / "tests" / "labs") == root
