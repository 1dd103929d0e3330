"""Which edits make a recorded trial stale: those of what drives a lab, and not of what judges it."""

import pytest

from tests.labs import driving, recorded

CORE = '''
"""The core."""
from dataclasses import dataclass
from loopclinic.probe import Probe as Watch
from loopclinic.lessons.words import said

class Scene:
    def drive(self): raise NotImplementedError
    def judge(self, found): raise NotImplementedError

@dataclass
class Check:
    scenes: tuple
    praise: object
    def play(self):
        for scene in self.scenes:
            Watch(scene.drive())
    def judge(self):
        yield from self.weighed()
    def weighed(self):
        return said("judged")
'''
WORDS = """
LOUD = 1
def said(text): return quoted(text) * LOUD
def quoted(text): return f"'{text}'"
"""
SERVED = "print('serving')\n"
CHECK = '''
"""The check."""
import asyncio
import threading
from loopclinic.lessons.core import Check, Scene
from loopclinic.lessons.words import said
from loopclinic.lessons.core import Budget
MOST = Budget(2, "calls", "because")
CALLS = Budget(9, "calls", "because")
PROGRAM = "loopclinic.lessons.served"
_sleep = asyncio.sleep  # kept

class Base(Scene):
    def meet(self): return self._called()  # by drive
    def _called(self): return CALLS, getattr(self, "named")
    def named(self): return 5
    def judge(self, found): yield self._too_many(found)
    def _too_many(self, found): return said(MOST), self.shown()
    def shown(self): return "shown"
    def ended(self) -> Iterator[Said]: yield said("ended")

class Helper(threading.Thread):
    def run(self): return 3

class One(Base):
    """One scene."""
    def drive(self):
        Helper()
        return self.meet(), PROGRAM, _sleep, Helper().ended
    def _called(self): return super()._called()

def praise(judged): return said("well")
CHECK = Check(scenes=(One(),), praise=praise)
'''
TREE = {
    "core": CORE,
    "words": WORDS,
    "served": SERVED,
    "check": CHECK,
    "child": "from loopclinic.lessons import check\ncheck.CHECK.play()\n",
}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Return what drives, of a small tree in which the module `name` has `new` instead of `old`."""
    monkeypatch.setattr(driving, "ROOT", tmp_path)
    folder = tmp_path / "src/loopclinic/lessons"
    folder.mkdir(parents=True)

    def source(name="check", old="", new=""):
        for module, text in TREE.items():
            edited = text.replace(old, new) if module == name and old else text
            assert not old or module != name or text.count(old) == 1, old
            (folder / f"{module}.py").write_text(edited, "utf-8")
        return driving.source_of(["loopclinic.lessons.child"], "loopclinic.lessons.check:CHECK")

    return source


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("check", "yield self._too_many(found)", "yield None"),
        ("check", "return said(MOST), self.shown()", "return said(MOST)"),
        ("check", '"shown"', '"seen"'),
        ("check", 'said("ended")', 'said("over")'),
        ("check", 'MOST = Budget(2, "calls"', 'MOST = Budget(3, "requests"'),
        ("check", 'said("well")', '"well"'),
        ("check", "from loopclinic.lessons.words import said\n", ""),
        ("check", "# by drive", "# indeed"),
        ("check", '"""One scene."""', '"""The scene."""'),
        ("core", "yield from self.weighed()", "yield None"),
        ("core", 'said("judged")', 'said("weighed")'),
        ("core", '"""The core."""', '"""The kernel."""'),
        ("words", "LOUD = 1", "LOUD = 2"),
        ("words", "return quoted(text) * LOUD", "return text"),
    ],
)
def test_what_only_judges_makes_no_record_stale(read, name, old, new):
    before = read()
    assert read(name, old, new) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("check", "return self.meet(), PROGRAM", "return self.meet(), 2"),
        ("check", "return self._called()", "return None"),
        ("check", "return CALLS, getattr", "return None, getattr"),
        ("check", "CALLS = Budget(9", "CALLS = Budget(8"),
        ("check", "return 5", "return 6"),
        ("check", "return 3", "return 4"),
        ("check", "def ended(self) -> Iterator[Said]: yield", "def ended(self): yield"),
        ("check", "super()._called()", "None"),
        ("check", "_sleep = asyncio.sleep", "_sleep = asyncio.run"),
        ("check", "import asyncio\n", "import uvloop as asyncio\n"),
        ("check", "scenes=(One(),)", "scenes=(One(), One())"),
        ("check", "def praise(judged)", "print()\ndef praise(judged)"),
        ("check", "yield self._too_many(found)", "yield None\n    meet = None"),
        ("core", "Watch(scene.drive())", "Watch(scene)"),
        ("core", "import Probe as Watch", "import Span as Watch"),
        ("served", "'serving'", "'served'"),
        ("child", "check.CHECK.play()", "check.CHECK.play(2)"),
    ],
)
def test_what_drives_makes_records_stale(read, name, old, new):
    before = read()
    assert read(name, old, new) != before


def test_a_judging_helper_that_begins_to_drive_counts(read):
    drives = "return self.meet(), said, PROGRAM"
    assert (
        "def said"
        in read("check", "return self.meet(), PROGRAM", drives)["loopclinic.lessons.words"]
    )
    assert "loopclinic.lessons.words" not in read()


@pytest.mark.parametrize("lesson", ["blocking_sleep", "unbounded_gather"])
def test_verdicts_of_real_labs_drive_nothing(lesson):
    found = driving.source_of(recorded.DRIVES, f"loopclinic.lessons.{lesson}.check:CHECK")
    verdicts = found.get("loopclinic.lessons.core.verdicts", "")
    assert "def swallowed" not in verdicts
    assert "def cancelled_cleanly" not in verdicts


def test_the_labs_programs_count_and_their_judges_do_not():
    found = driving.source_of(recorded.DRIVES, "loopclinic.lessons.flask_bridge.check:CHECK")
    assert "loopclinic.lessons.flask_bridge.receiver_app" in found
    assert "loopclinic.lessons.core.verdicts" not in found
    assert "loopclinic.lessons.flask_bridge.story" not in found
    check = found["loopclinic.lessons.flask_bridge.check"]
    assert "async def serve" in check
    assert "def judge" not in check
    assert "next_step" not in check


def test_what_drives_must_be_there():
    with pytest.raises(LookupError, match="rehearsal is gone"):
        driving.source_of([], "loopclinic.lessons.flask_bridge.rehearsal:rehearse")
