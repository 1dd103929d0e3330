"""One detector a conflict: what each looks like on a stack, and the words for it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from loopclinic.probe.report import Frame

__all__ = ["DETECTORS", "IMPORT", "Detector", "Evidence"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one stall: its stack, outermost first, and what its thread did."""

    stack: Sequence[Frame]
    guilty: int
    """Index of the frame that the stall names."""
    computes: bool | None = None
    """Whether the thread computed rather than waited, None if unknown."""
    gil_held: bool = False

    @property
    def code(self) -> str:
        """The source line to blame."""
        return self.stack[self.guilty].code

    @property
    def called(self) -> Sequence[Frame]:
        """The library's frames below that line, the one that the user called first."""
        return self.stack[self.guilty + 1 :]

    @property
    def imported(self) -> bool:
        """Whether that line stands in a module's body, which an import runs just then."""
        frame, above = self.stack[self.guilty], self.stack[max(0, self.guilty - 1)]
        return frame.function == "<module>" and above.file.startswith("<frozen importlib")


@dataclass(frozen=True, slots=True)
class Detector:
    """Tells one conflict by the library that was called, else by the source line.

    A blocking C call leaves no frame of its own, so the line has to speak for it; it is believed
    only of a thread that waits, and never of an awaited call.
    """

    conflict: str | None
    """Its name in `loopclinic.conflicts`, None for what the list has no name for."""
    cause: str
    """What held the loop, as the subject of a sentence."""
    repair: str
    modules: tuple[str, ...] = ()
    """Parts of the paths of library files."""
    functions: frozenset[str] = frozenset()
    """Of these files only these functions; all, if empty."""
    calls: re.Pattern[str] | None = None

    def owns(self, frame: Frame) -> bool:
        """Whether a library's frame is this conflict's."""
        path = frame.file.replace("\\", "/")
        return any(part in path for part in self.modules) and (
            not self.functions or frame.function in self.functions
        )

    def reads(self, evidence: Evidence) -> bool:
        """Whether the source line calls what this conflict is about."""
        if self.calls is None or evidence.computes or "await " in evidence.code:
            return False
        return self.calls.search(evidence.code) is not None


def _calls(*names: str) -> re.Pattern[str]:
    return re.compile("|".join(names))


IMPORT = Detector(
    None,
    "An import",
    "import it before the loop runs",
    ("<frozen importlib._bootstrap>",),
    frozenset({"_find_and_load"}),
)

# The outermost library frame below the line decides: it is the one the user chose, and what it
# builds on is its own affair. Of detectors that own the same frame, or read the same line, the first.
DETECTORS: tuple[Detector, ...] = (
    Detector(
        "nested-loop",
        "A second event loop, run inside the first,",
        "await the coroutine instead",
        ("/asyncio/base_events.py", "/asyncio/runners.py", "/nest_asyncio.py", "/nest_asyncio2.py"),
        frozenset({"run", "run_until_complete", "run_forever"}),
    ),
    IMPORT,
    Detector(
        "blocking-redis",
        "A synchronous Redis call",
        "use redis.asyncio, or a thread",
        ("/redis/",),
    ),
    Detector(
        "blocking-sdk",
        "A synchronous vendor SDK",
        "call it in a thread: await asyncio.to_thread(...)",
        ("/minio/", "/botocore/", "/boto3/", "/stripe/", "/google/cloud/", "/azure/"),
    ),
    Detector(
        "blocking-http",
        "A synchronous HTTP request",
        "use an asynchronous client, or a thread",
        ("/requests/", "/urllib3/", "/urllib/request.py", "/http/client.py", "/httpx/_client.py"),
    ),
    Detector(
        "blocking-db",
        "A synchronous database call",
        "use an asynchronous driver, or a thread",
        ("/psycopg", "/sqlite3/", "/sqlalchemy/", "/pymysql/", "/pymongo/", "/MySQLdb/"),
        calls=_calls(r"\.execute(many|script)?\(", r"\.fetch(one|all|many)\(", r"\.commit\(\)"),
    ),
    Detector(
        "blocking-subprocess",
        "Waiting for a child process",
        "use asyncio.create_subprocess_exec",
        ("/subprocess.py",),
        calls=_calls(r"\bos\.(system|wait|waitpid|popen)\("),
    ),
    Detector(
        "blocking-sync-primitive",
        "Waiting for a thread",
        "use what asyncio offers for it, or wait in a thread",
        (
            "/threading.py",
            "/queue.py",
            "/concurrent/futures/_base.py",
            "/concurrent/interpreters/_queues.py",
            "/multiprocessing/",
        ),
        # SimpleQueue, locks and barriers are C: with lock:, queue.get()
        calls=_calls(
            r"\.acquire\(",
            r"^with\b.*[Ll]ock",
            r"[Qq]ueue\w*\.(get|put)\(",
            r"\.join\(\)",
            r"\.result\(",
        ),
    ),
    Detector(
        "blocking-net",
        "A synchronous socket operation",
        "use asyncio streams",
        ("/socket.py", "/ssl.py", "/smtplib.py", "/ftplib.py", "/imaplib.py"),
        calls=_calls(r"\.(recv|recv_into|recvfrom|sendall|accept)\(", r"\bgetaddrinfo\("),
    ),
    Detector(
        "blocking-file-io",
        "A synchronous file operation",
        "do it in a thread: await asyncio.to_thread(...)",
        ("/tempfile.py", "/shutil.py", "/pathlib", "/zipfile", "/gzip.py", "/tarfile.py"),
        calls=_calls(
            r"\bopen\(",
            r"\.(read|readline|readlines|write|writelines|flush)\(",
            r"\b(fsync|fdatasync|flock|lockf|listdir|scandir|stat)\(",
        ),
    ),
    Detector(
        "blocking-sleep",
        "A blocking sleep",
        "await asyncio.sleep(...) instead",
        calls=_calls(r"(?<!asyncio\.)(?<!anyio\.)(?<!trio\.)\bsleep\("),
    ),
    Detector(
        "blocking-input",
        "Waiting for the keyboard",
        "ask in a thread: await asyncio.to_thread(input, ...)",
        calls=_calls(r"\binput\(", r"\bgetpass\("),
    ),
)
