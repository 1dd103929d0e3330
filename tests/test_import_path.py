"""Files and packages imported from where they lie."""

import sys

import pytest

from loopclinic.import_path import imported


def test_a_package_is_imported_whole_under_the_name_that_is_asked_for(tmp_path):
    folder = tmp_path / "billing"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .money import CENTS\n")
    (folder / "money.py").write_text("CENTS = 7\n")
    try:
        assert imported(folder, "some_billing").CENTS == 7
        assert sys.modules["some_billing.money"].CENTS == 7
    finally:
        for name in ("some_billing", "some_billing.money"):
            sys.modules.pop(name, None)


def test_what_raises_leaves_no_half_module_behind(tmp_path):
    file = tmp_path / "shop.py"
    file.write_text("OPEN = True\n1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        imported(file, "half_a_shop")
    assert "half_a_shop" not in sys.modules


def test_what_is_no_python_is_refused_by_name(tmp_path):
    with pytest.raises(ImportError, match=r"notes\.txt can't be imported"):
        imported(tmp_path / "notes.txt", "notes")
