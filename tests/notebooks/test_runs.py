"""Every notebook in a real kernel: in order, all at once, twice, interrupted, restarted.

`make test` runs the first notebook, all at once; the rest is for `make prove`. What is tagged `measures`
is made shorter; `make prove ARGS="-k full_length"` leaves it as long as it is, and holds a notebook to its
seconds.
"""

import time

import pytest

from .kernel import Kernel, kernel
from .notebooks import NOTEBOOKS, Notebook

pytestmark = pytest.mark.timeout(240)

LONGEST = 150.0
"""Seconds that a notebook may take in all."""
INTERRUPTED = {"KeyboardInterrupt", "CancelledError"}


def tiers(notebook):
    return () if notebook == NOTEBOOKS[0] else pytest.mark.prove


@pytest.fixture(
    scope="module",
    params=[pytest.param(one, id=str(one), marks=tiers(one)) for one in NOTEBOOKS],
)
def notebook(request) -> Notebook:
    return request.param


@pytest.fixture(scope="module")
def session(notebook, tmp_path_factory, session_postgres):
    """One kernel for all runs of a notebook, in the order of the tests below."""
    patch = pytest.MonkeyPatch()
    home = tmp_path_factory.mktemp("home")
    (home / "postgres").symlink_to(session_postgres)
    patch.setenv("LOOPCLINIC_HOME", str(home))
    with kernel(notebook.path.parent) as one:
        yield one
    patch.undo()


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def failures(replies, cells) -> list[str]:
    return [
        f"{cell.id}: {reply['status']} {reply.get('evalue', '')}"
        for reply, cell in zip(replies, cells, strict=True)
        if reply["status"] != "ok"
    ]


def complaints(notebook_run) -> list[str]:
    return [
        f"{cell.id}: {output.get('text') or output.get('evalue')}"
        for cell in code(notebook_run)
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


@pytest.mark.prove
def test_in_order_at_full_length(notebook, session):
    notebook_run = notebook.read()
    began = time.monotonic()
    with session.lent(notebook_run) as client:
        for index, cell in enumerate(notebook_run.cells):
            client.execute_cell(cell, index)
        seconds = time.monotonic() - began
    print(f"{notebook}: {seconds:.1f} s")
    assert complaints(notebook_run) == []
    assert seconds < LONGEST


def up_to_the_block(cells):
    blocks = [
        index for index, cell in enumerate(cells) if "blocks" in cell.metadata.get("tags", ())
    ]
    assert blocks, "tag the cell that blocks the loop with `blocks`"
    return cells[: blocks[0] + 1]


def test_all_at_once(notebook, session):
    """As "Run All Cells" does: every request is on its way before the first reply."""
    cells = code(notebook.quick())
    requests = [session.send(cell.source) for cell in cells]
    replies = [session.reply(request, 90) for request in requests]
    assert failures(replies, cells) == []


@pytest.mark.prove
def test_again_and_interrupted_while_it_blocks(notebook, session, capfd):
    """In the same kernel, which holds what the first run made."""
    *before, blocks = up_to_the_block(code(notebook.quick()))
    assert failures([session.run(cell.source) for cell in before], before) == []
    request = session.send(blocks.source)
    session.told(request, "execute_input", 20)
    time.sleep(1.0)
    session.manager.interrupt_kernel()
    session.told(request, "status", 40, execution_state="idle")
    # An interrupt cancels the cell's task, which a blocking call does not notice before
    # its end: so either it ends by error, or it comes to its end.
    # One that finds the cell just ended takes its reply along: ipykernel drops it.
    try:
        reply = session.reply(request, 5)
    except TimeoutError:
        assert "KeyboardInterrupt caught in kernel" in capfd.readouterr().err
    else:
        if reply["status"] != "ok":
            assert reply["ename"] in INTERRUPTED
            shown = "\n".join(reply["traceback"])
            # A cell that awaits its own code has Python's traceback, in which nothing is the kit's.
            assert shown.startswith("Interrupted at cell") or "src/loopclinic/" not in shown
    again = session.run(blocks.source)  # as a learner does next
    if again["status"] == "aborted":  # the kernel was still dropping what it thought was queued
        again = session.run(blocks.source)
    assert failures([again], [blocks]) == []


@pytest.mark.prove
def test_restarted(notebook, session):
    session.restart()
    *before, _ = up_to_the_block(code(notebook.quick()))
    assert failures([session.run(cell.source) for cell in before], before) == []


def test_nothing_is_left_behind(notebook, session):
    assert session.family(), "the mark does not work"
    session.shut_down()
    end = time.monotonic() + 5
    while session.family() and time.monotonic() < end:
        time.sleep(0.1)
    assert session.family() == []


@pytest.mark.prove
def test_a_dropped_cell_would_be_seen(tmp_path):
    """The test of the test: nested loops drop cells that Run All has queued."""
    with kernel(tmp_path) as one:
        session: Kernel = one
        sources = [
            "import nest_asyncio; nest_asyncio.apply()",
            "import asyncio; asyncio.run(asyncio.sleep(0.5)); first = True",
            "second = True",
            "third = True",
        ]
        requests = [session.send(source) for source in sources]
        lost = 0
        for request in requests:
            try:
                session.reply(request, 5)
            except Exception:
                lost += 1
        known = [name in session.value("sorted(globals())") for name in ("second", "third")]
        assert lost or not all(known)
