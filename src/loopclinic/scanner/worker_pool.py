"""Worker processes of a scan: starts them, distributes the files, and contains the code they run.

A worker reads paths from stdin and writes facts to stdout. It is started with `-P`, so that no file of
the scanned folder is ever imported in place of a module.
"""

import gc
import marshal
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import loopclinic
from loopclinic.scanner.file_facts import Reading, read

_WORTH = 400
"""Files below which starting processes takes longer than it saves."""


def read_all(
    root: Path, files: Sequence[tuple[int, str]], jobs: int | None = None
) -> Iterator[tuple[int, Reading]]:
    """Yield the position and the reading of each file, in no order.

    `jobs` is the number of processes; the default is one a processor, none for a small tree.
    """
    count = jobs if jobs is not None else min(_processors(), len(files) // _WORTH + 1)
    folder = root if root.is_dir() else root.parent
    if count <= 1 or len(files) < 2:  # one file needs no share
        for position, name in files:
            yield position, read(folder / name)
        return
    yield from _Crew(folder, files, count).results()


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


class _Crew:
    """Workers, each with its share, and a thread each that listens to it."""

    def __init__(self, folder: Path, files: Sequence[tuple[int, str]], count: int) -> None:
        self._files = files
        self._folder = folder
        self._count = count
        self._found: queue.SimpleQueue[tuple[int, Reading] | None] = queue.SimpleQueue()
        self._workers: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []

    def _start(self) -> None:
        source = str(Path(loopclinic.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": source}
        for number in range(self._count):
            worker = subprocess.Popen(
                [sys.executable, "-P", "-c", f"from {__name__} import work; work()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            self._workers.append(worker)
            share = [
                (at, str(self._folder / name)) for at, name in self._files[number :: self._count]
            ]
            thread = threading.Thread(target=self._listen, args=(worker, share), daemon=True)
            thread.start()
            self._threads.append(thread)  # only now: an interrupted start can not be joined

    def _listen(self, worker: "subprocess.Popen[bytes]", share: list[tuple[int, str]]) -> None:
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            worker.stdin.write(marshal.dumps(share))
            worker.stdin.close()
            while True:
                position, plain = marshal.load(worker.stdout)  # noqa: S302 - from our own worker
                self._found.put((position, Reading.of(plain)))
        except (EOFError, ValueError, TypeError, OSError):
            pass  # the share is done, or the worker died
        finally:
            self._found.put(None)

    def results(self) -> Iterator[tuple[int, Reading]]:
        """Yield what the workers found; what a dying worker left undone is reported as such."""
        ended = 0
        left = dict(self._files)
        try:
            self._start()
            while ended < len(self._workers):
                one = self._found.get()
                if one is None:
                    ended += 1
                    continue
                left.pop(one[0], None)
                yield one
            for position in left:
                reason = "the process that read it ended early: it may be nested too deep"
                yield position, Reading(reason=reason)
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()
                if worker.stdout is not None:
                    worker.stdout.close()
            for thread in self._threads:
                thread.join(timeout=1)


def work() -> None:
    """Read each (position, path) of the request and answer it by (position, reading)."""
    gc.disable()  # syntax trees are freed by counting; looking for cycles takes a fifth of the time
    request = marshal.load(sys.stdin.buffer)  # noqa: S302 - from our own parent
    out = sys.stdout.buffer
    for count, (position, path) in enumerate(request):
        marshal.dump((position, read(Path(path)).plain), out)
        if count % 8 == 0:
            out.flush()
            gc.collect(0)
    out.flush()
