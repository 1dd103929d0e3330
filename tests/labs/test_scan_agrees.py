"""The scanner finds the same blocking calls in the shipped labs as their checks do, by the same names."""

import ast

import pytest

from loopclinic.scanner.options import Settings
from loopclinic.scanner.scanning import scan_path
from tests.labs.recorded import SUBMISSIONS, load

BLOCK = {"01": "blocking-retry", "02": "blocking-db", "06": "blocking-sdk", "13": "blocking-db"}


def function_of(lab, file, line):
    tree = ast.parse((lab / file if lab.is_dir() else lab).read_text("utf-8"))
    functions = [
        one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [one.name for one in functions if one.lineno <= line <= one.end_lineno][-1]


@pytest.mark.parametrize("number", BLOCK)
def test_a_check_and_the_scanner_name_one_bug_alike(number):
    shipped = SUBMISSIONS[f"{number}-shipped"]
    blamed = {
        (
            reason["file"].removeprefix("lab/").replace("lab", shipped.file.name),
            reason["line"],
            reason["conflict"],
        )
        for trial in load(shipped.record)["trials"].values()
        for reason in trial["verdict"]["reasons"]
        if "line" in reason and reason.get("conflict", "").startswith("blocking-")
    }
    # Of several calls in one function that block, a finding of its caller names the first.
    scanned = {
        (step.file, step.function.rpartition(".")[2], finding.kind)
        for finding in scan_path(shipped.file, Settings()).findings
        for step in finding.chain
    }
    assert {conflict for _, _, conflict in blamed} == {BLOCK[number]}
    for file, line, conflict in blamed:
        assert (file, function_of(shipped.file, file, line), conflict) in scanned
