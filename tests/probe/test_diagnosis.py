import selectors

import pytest

from loopclinic.conflicts import CONFLICTS
from loopclinic.probe import Frame, garbage, meter
from loopclinic.probe.case import Case
from loopclinic.probe.detectors import DETECTORS, Evidence
from loopclinic.probe.diagnosis import detect, diagnose, findings
from loopclinic.probe.schedule import Times
from loopclinic.probe.stack import Sample

from .fakes import FakeLoop

LIB = "/usr/lib/python3.11"
SITE = "/v/site-packages"


def frame(code, file="/home/ada/app.py", function="f"):
    return Frame(file, 1, function, code)


def below(*files, function="f"):
    return tuple(frame("", file, function) for file in files)


@pytest.mark.parametrize(
    ("code", "called", "expected"),
    [
        ("time.sleep(0.5)", (), "blocking-sleep"),
        ("sleep(0.5)", (), "blocking-sleep"),
        ("await asyncio.sleep(0.5)", (), None),
        ("asleep(0.5)", (), None),
        ("name = input('? ')", (), "blocking-input"),
        ("cursor.execute(q)", below(f"{SITE}/psycopg/cursor.py"), "blocking-db"),
        ("rows = cursor.fetchall()", (), "blocking-db"),
        ("rows = await connection.execute(q)", (), None),
        ("r.get(k)", below(f"{SITE}/redis/client.py", f"{LIB}/socket.py"), "blocking-redis"),
        (
            "client.put_object(b, k, d)",
            below(f"{SITE}/minio/api.py", f"{SITE}/urllib3/pool.py", f"{LIB}/socket.py"),
            "blocking-sdk",
        ),
        ("requests.get(u)", below(f"{SITE}/requests/api.py"), "blocking-http"),
        ("subprocess.run(c)", below(f"{LIB}/subprocess.py"), "blocking-subprocess"),
        ("os.system('make')", (), "blocking-subprocess"),
        ("data = connection.recv(4096)", (), "blocking-net"),
        ("event.wait()", below(f"{LIB}/threading.py"), "blocking-sync-primitive"),
        ("with self._lock:", (), "blocking-sync-primitive"),
        ("lock.acquire()", (), "blocking-sync-primitive"),
        ("future.result()", below(f"{LIB}/concurrent/futures/_base.py"), "blocking-sync-primitive"),
        (
            "work.get()",
            below(f"{LIB}/concurrent/interpreters/_queues.py"),
            "blocking-sync-primitive",
        ),
        ("text = open(path).read()", (), "blocking-file-io"),
        ("os.fsync(file)", (), "blocking-file-io"),
        ("path.read_text()", below(f"{LIB}/pathlib.py"), "blocking-file-io"),
        (
            "loop.run_until_complete(f())",
            below(f"{SITE}/nest_asyncio.py", function="run_until_complete"),
            "nested-loop",
        ),
        (
            "asyncio.run(f())",
            below(f"{SITE}/nest_asyncio2.py", function="run"),
            "nested-loop",
        ),
        ("loop.call_soon(f)", below(f"{LIB}/asyncio/base_events.py", function="call_soon"), None),
        ("x = sum(values)", (), None),
    ],
)
def test_what_a_stack_looks_like(code, called, expected):
    found = detect(Evidence([frame(code), *called], 0))
    assert (found.conflict if found else None) == expected


IMPORTED = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


def test_an_import_is_named_as_one_and_what_it_runs_into_is_not():
    below_it = [
        frame("", IMPORTED[0], "_find_and_load"),
        frame("", IMPORTED[1], "exec_module"),
        *below(f"{SITE}/redis/client.py", f"{LIB}/socket.py"),
    ]
    found = diagnose(Evidence([frame("import redis"), *below_it], 0, True, True), 0.74)
    assert found.conflict is None
    assert found.sentence == "An import held the loop for 740 ms: import it before the loop runs."


def test_a_call_that_only_reads_a_module_for_its_source_is_no_import():
    called = [frame("", IMPORTED[1], "get_data")]
    assert detect(Evidence([frame("x = f()"), *called], 0)) is None


@pytest.mark.parametrize(
    ("code", "conflict", "said"),
    [
        ("TABLE = build()", None, "An import"),
        ("time.sleep(5)", "blocking-sleep", "A blocking sleep"),
    ],
)
def test_the_body_of_a_module_of_ones_own_is_imported_too(code, conflict, said):
    stack = [
        frame("import settings"),
        frame("", IMPORTED[0], "_call_with_frames_removed"),
        frame(code, "/home/ada/settings.py", "<module>"),
    ]
    found = diagnose(Evidence(stack, 2), 0.74)
    assert (found.conflict, found.sentence.partition(" held")[0]) == (conflict, said)


def test_every_detector_has_a_conflict_of_the_list_and_its_own():
    names = [one.conflict for one in DETECTORS if one.conflict is not None]
    assert set(names) <= set(CONFLICTS)
    assert len(names) == len(set(names))


def test_a_thread_that_computes_does_not_wait_whatever_its_line_says():
    found = diagnose(Evidence([frame("sleep(0.5)")], 0, computes=True), 0.74, 0.98)
    assert found.conflict == "cpu-bound"
    assert "740 ms, 98% of it at work" in found.sentence


def test_a_library_that_computes_is_still_the_library():
    stack = [frame("json = requests.get(u)"), *below(f"{SITE}/requests/api.py")]
    assert diagnose(Evidence(stack, 0, computes=True), 0.5).conflict == "blocking-http"


def test_another_threads_call_is_not_blamed_on_the_loops_line():
    found = diagnose(Evidence([frame("sleep(0.5)")], 0, computes=False, gil_held=True), 1.5)
    assert found.conflict is None
    assert found.sentence == "Another thread kept the GIL and held the loop for 1.50 s."


def test_what_nothing_tells_is_left_open():
    assert diagnose(Evidence([frame("x = f()")], 0), 0.5) is None
    assert diagnose(Evidence([frame("x = f()")], 0, computes=False), 0.5) is None


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda one: one.cause)
def test_each_sentence_holds_the_number(detector):
    function = next(iter(detector.functions), "run")
    called = below(*(f"/v{part}x" for part in detector.modules[:1]), function=function)
    evidence = Evidence([frame("x"), *called], 0)
    if not detector.modules:
        code = {"blocking-sleep": "time.sleep(1)", "blocking-input": "input()"}[detector.conflict]
        evidence = Evidence([frame(code)], 0)
    sentence = diagnose(evidence, 1.234).sentence
    assert "held the loop for 1.23 s" in sentence
    assert detector.repair in sentence


def case_of(code, indices, total):
    case = Case(0.0)
    for number, index in enumerate(indices, start=1):
        frames = (("/home/ada/app.py", 1, "fetch"),)
        if code:
            frames += ((f"{LIB}/socket.py", 1, "recv"),)
        found = Sample(frames, 0, synchronous_cell=False, callback=(index, total))
        case.add(found, number * 0.01)
    return case


def test_a_burst_has_a_number_and_no_line():
    fields = findings(case_of("", range(100, 5000, 100), 5000), 0.0, 0.5, 0.05)
    assert fields["burst"]
    assert "file" not in fields
    assert "5,000 callbacks in 500 ms" in fields["diagnosis"]
    assert "mostly in fetch" in fields["diagnosis"]


def test_many_callbacks_that_all_wait_in_one_library_have_a_line():
    fields = findings(case_of("recv", range(10, 50), 60), 0.0, 0.5, 0.05)
    assert fields["conflict"] == "blocking-net"
    assert fields["line"] == 1
    assert fields["callbacks"] == 60


@pytest.fixture
def collections(monkeypatch):
    runs = garbage.deque()
    monkeypatch.setattr(garbage, "runs", runs)
    return runs


@pytest.mark.parametrize(
    ("file", "function"),
    [(selectors.__file__, "select"), (meter.__file__, "timed")],
)
def test_a_loop_that_only_polls_blames_no_line(file, function):
    case = Case(0.0)
    outer = (("/home/ada/app.py", 9, "<module>"), (f"{LIB}/asyncio/runners.py", 190, "run"))
    case.add(Sample((*outer, (file, 468, function)), 0, False), 0.03)
    case.work(0.03, Times(0.0, 0.0))
    case.work(0.06, Times(0.03, 0.0))
    found = findings(case, 0.0, 0.06, 0.05)
    assert "file" not in found
    assert "conflict" not in found
    assert "60.0 ms for a processor" in found["diagnosis"]


def test_a_long_collection_is_named_as_such(collections):
    loop = FakeLoop()
    with loop.probe() as probe:
        loop.idle(1.0)
        collections.append(garbage._Run(loop.now + 0.01, loop.now + 0.19, 2, 12345))
        loop.look(probe, 0.2)
        loop.busy(0)
        loop.idle(1.0)
        collections.append(garbage._Run(loop.now + 0.01, loop.now + 0.03, 2, 0))
        loop.look(probe, 0.2)
        loop.busy(0)
    long, short = probe.report().stalls
    assert long.file is None
    assert long.where == "garbage collection"
    assert long.diagnosis.startswith("A garbage collection took 180 ms of 200 ms")
    assert "12,345 objects" in long.diagnosis
    assert long.garbage == pytest.approx(0.18)
    assert short.line, "a collection that explains a tenth of a stall explains no stall"
    assert short.garbage == pytest.approx(0.02)
