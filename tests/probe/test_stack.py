import linecache
import sys
import sysconfig
from pathlib import Path

import pytest

import loopclinic
from loopclinic.probe import Frame, user_code
from loopclinic.probe.detectors import Evidence
from loopclinic.probe.diagnosis import detect
from loopclinic.probe.stack import sample

PACKAGE = Path(loopclinic.__file__).parent


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (__file__, True),
        ("/home/ada/app/main.py", True),
        (str(PACKAGE / "probe" / "probe.py"), False),
        (str(PACKAGE / "lessons" / "blocking_sleep" / "ladder.py"), True),
        (str(Path(sysconfig.get_path("stdlib"), "asyncio", "events.py")), False),
        (str(Path(sysconfig.get_path("purelib"), "aiohttp", "client.py")), False),
        ("/usr/lib/python3/dist-packages/six.py", False),
        ("<frozen runpy>", False),
        ("<stdin>", True),
    ],
)
def test_whose_code_a_file_is(file, expected):
    assert user_code(file) is expected


def test_the_innermost_frame_of_the_users_own_code_is_named():
    found = []

    def mine(values):
        # json is standard library: the frame to name is this one, not json's.
        import json

        class Probed:
            def __repr__(self):
                return "x"

        json.dumps(values, default=lambda _: (found.append(sample(sys._getframe(1))), "x")[1])

    mine([object()])
    (one,) = found
    stack = one.stack()
    assert stack[one.guilty].function == "mine"
    assert stack[one.guilty].file == __file__
    assert stack[-1].function != "mine"
    assert linecache.getline(__file__, stack[one.guilty].line).strip() == stack[one.guilty].code


def test_without_user_code_the_innermost_frame_is_named():
    code = compile("def outer(read):\n    return read()\n", "<frozen made up>", "exec")
    names: dict = {"sample": sample, "sys": sys}
    exec(code, names)
    exec(compile("def inner():\n    return sys._getframe()\n", "<frozen inner>", "exec"), names)
    frame = names["inner"]()
    frame_only = sample(frame)
    assert frame_only.frames[frame_only.guilty][2] in (
        "inner",
        "test_without_user_code_the_innermost_frame_is_named",
    )


def test_no_frame_is_no_sample():
    assert sample(None) is None


def test_a_deep_recursion_keeps_its_inner_end():
    def down(n):
        return sample(sys._getframe()) if n == 0 else down(n - 1)

    found = down(300)
    assert len(found.frames) == 60
    assert found.frames[-1][2] == "down"
    assert found.guilty == 59


def frame(code, file="/home/ada/app.py"):
    return Frame(file, 1, "f", code)


@pytest.mark.parametrize(
    ("stack", "guilty", "expected"),
    [
        ([frame("time.sleep(0.5)")], 0, "blocking-sleep"),
        ([frame("sleep(0.5)")], 0, "blocking-sleep"),
        ([frame("await asyncio.sleep(0.5)")], 0, None),
        ([frame("asleep(0.5)")], 0, None),
        ([frame("name = input('? ')")], 0, "blocking-input"),
        (
            [frame("cursor.execute(q)"), frame("", "/v/site-packages/psycopg/cursor.py")],
            0,
            "blocking-db",
        ),
        (
            [
                frame("client.put_object(b, k, d)"),
                frame("", "/v/site-packages/minio/api.py"),
                frame("", "/v/site-packages/urllib3/connectionpool.py"),
                frame("", "/usr/lib/python3.11/socket.py"),
            ],
            0,
            "blocking-sdk",
        ),
        (
            [frame("requests.get(u)"), frame("", "/v/site-packages/requests/api.py")],
            0,
            "blocking-http",
        ),
        (
            [frame("subprocess.run(c)"), frame("", "/usr/lib/python3.11/subprocess.py")],
            0,
            "blocking-subprocess",
        ),
        ([frame("x = sum(values)")], 0, None),
    ],
)
def test_what_a_stall_looks_like(stack, guilty, expected):
    found = detect(Evidence(stack, guilty))
    assert (found.conflict if found else None) == expected
