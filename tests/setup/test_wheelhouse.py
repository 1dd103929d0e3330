"""`make wheelhouse`: which pins are fetched, and that an installation looks there before the network."""

import sys

import installer
import wheelhouse

VERSION = "{}.{}".format(*sys.version_info)


def block(name, marker=""):
    return f"{name}{f' ; {marker}' if marker else ''} \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb"


def test_a_pin_of_another_system_is_left_out_and_one_of_another_patch_release_is_fetched():
    found = wheelhouse.rounds(
        [
            block("one==1"),
            block("two==1", f"python_full_version < '{VERSION}.5'"),
            block("two==2", f"python_full_version >= '{VERSION}.5'"),
            block("three==1", "sys_platform == 'elsewhere'"),
            block("four==1", "python_full_version < '3.0'"),
        ]
    )
    hashes = "--hash=sha256:aa --hash=sha256:bb"
    assert list(found) == [[f"one==1 {hashes}", f"two==2 {hashes}"], [f"two==1 {hashes}"]]


def test_packages_come_from_the_wheelhouse_if_there_is_one(monkeypatch, tmp_path):
    monkeypatch.setattr(installer, "WHEELHOUSE", tmp_path / "wheelhouse")
    assert installer.from_wheelhouse() == []
    (tmp_path / "wheelhouse").mkdir()
    (options,) = installer.from_wheelhouse()
    assert options == ["--no-index", "--find-links", str(tmp_path / "wheelhouse")]
