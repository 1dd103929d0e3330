"""A verdict shown in a terminal."""

import io

from rich.console import Console

from loopclinic.cli.verdict_view import verdict_panel
from loopclinic.verdict import Promise, Reason, Verdict

PROMISES = (Promise(1, "kept", "It adds."), Promise(2, "not-reached", "It ends."))


def shown(verdict):
    console = Console(file=io.StringIO(), width=80)
    console.print(verdict_panel(verdict))
    return console.file.getvalue()


def test_the_contract_is_a_list_below_the_reasons():
    text = shown(Verdict("77", "not-yet", (Reason("It hung."),), promises=PROMISES))
    assert text.index("It hung.") < text.index("1 of 2 promises kept.")
    assert text.index("1. kept: It adds.") < text.index("2. not reached: It ends.")


def test_of_a_pass_only_their_number_is_shown():
    text = shown(Verdict("77", "passed", headline="Fine.", promises=PROMISES[:1]))
    assert "1 of 1 promises kept." in text
    assert "It adds." not in text


def test_signs_stand_apart_from_reasons():
    signs = (Reason("It hung."),)
    text = shown(Verdict("77", "too-busy", (Reason("Others ran."),), headline="So.", signs=signs))
    assert "Not certain: 77" in text
    assert text.index("Others ran.") < text.index("Signs, not findings:") < text.index("It hung.")


def test_without_promises_there_is_no_list():
    assert "promises" not in shown(Verdict("77", "passed", headline="Fine."))
