"""A lab that differs from its pristine copy is named, with the difference."""

import drift


def write(folder, text):
    folder.mkdir(parents=True)
    (folder / "01_one.py").write_text(text)


def test_the_same_bytes_are_fine(tmp_path, capsys):
    write(tmp_path / "src/loopclinic/lessons/one/shipped", "same\n")
    write(tmp_path / "labs", "same\n")
    assert drift.main(tmp_path) == 0
    assert capsys.readouterr().out == ""


def test_a_difference_is_shown(tmp_path, capsys):
    write(tmp_path / "src/loopclinic/lessons/one/shipped", "shipped\n")
    write(tmp_path / "labs", "edited\n")
    assert drift.main(tmp_path) == 1
    printed = capsys.readouterr().out
    assert "labs/01_one.py is not src/loopclinic/lessons/one/shipped/01_one.py" in printed
    assert "-shipped\n+edited\n" in printed


def test_a_missing_lab_is_named(tmp_path, capsys):
    write(tmp_path / "src/loopclinic/lessons/one/shipped", "shipped\n")
    assert drift.main(tmp_path) == 1
    assert "labs/01_one.py is not" in capsys.readouterr().out
