"""Reports: sync functions under decorators, called by async ones."""

import functools
import pathlib
import shutil

from tools import call, call_twice, in_thread, offload, run_later, slowed, threaded, timed

FOLDER = pathlib.Path("reports")


@offload
def write(name, text):
    (FOLDER / name).write_text(text)  # clean: the decorator runs it in a thread


@threaded(None)
def remove(name):
    (FOLDER / name).unlink()  # clean: the decorator runs it in a thread


@timed
def copy(source, target):
    shutil.copyfile(source, target)


@slowed
def title(name):
    return name.title()


@functools.lru_cache(maxsize=10)
def template(name):
    return (FOLDER / name).read_text()


@staticmethod
def nothing():
    return None


class Report:
    root: pathlib.Path

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.text = (root / "head").read_text()

    def __enter__(self):
        self.file = open(self.root / "body")
        return self

    def __exit__(self, *_):
        self.file.close()

    def __call__(self):
        return list(self.root.iterdir())

    @classmethod
    def latest(cls):
        return cls(FOLDER)

    @staticmethod
    def exists(name):
        return (FOLDER / name).exists()

    def path(self, name):
        return self.root.with_name(name).with_suffix(".txt")


class Draft(Report):
    def __init__(self, root):
        super().__init__(root)

    def path(self, name):
        return super().path(name)


async def use():
    await write("a", "b")  # clean: the decorator runs it in a thread
    await remove("a")  # clean: the decorator runs it in a thread
    copy("a", "b")  # expect-via: blocking-file-io
    title("a")  # expect-via: blocking-sleep
    template("a")  # expect-via: blocking-file-io
    await in_thread(copy, "a", "b")  # clean: handed on to a thread
    await run_later(copy, "a", "b")  # clean: handed on to an executor
    call(copy, "a", "b")  # expect-via: blocking-file-io
    call_twice(template)  # expect-via: blocking-file-io
    call(len, "a")  # clean: len does not block


async def build(root: pathlib.Path):
    report = Report(root)  # expect-via: blocking-file-io
    with report:  # expect-via: blocking-file-io
        pass
    report()  # expect-via: blocking-file-io
    print(report.path("x"))  # clean: paths are only built
    Report.latest()  # expect-via: blocking-file-io
    Report.exists("a")  # expect-via: blocking-file-io
    draft = Draft(root)  # expect-via: blocking-file-io
    print(draft.path("y"))  # clean: paths are only built


async def nested(root: pathlib.Path):
    def read():
        return root.read_bytes()

    def unused():
        return root.read_bytes()  # clean: never called

    name = root.name  # clean: an attribute of a path
    return read(), name  # expect-via: blocking-file-io


async def files(root: pathlib.Path):
    if root.exists():  # expect: blocking-file-io
        for one in root.glob("*.txt"):  # expect: blocking-file-io
            print(one.stem)
    with open(root / "x") as file:  # expect: blocking-file-io
        for line in file:  # clean: part of what the open began
            print(line)
    shutil.rmtree(root)  # expect: blocking-file-io
    (root / "a" / "b").mkdir(parents=True)  # expect: blocking-file-io
