"""Which conflict a stall looks like, from the stack alone."""

import re
from collections.abc import Sequence

from loopclinic.probe.report import Frame

__all__ = ["looks_like"]

# A blocking C call leaves no frame of its own: the source line has to speak for it.
_SLEEP = re.compile(r"(?<!asyncio\.)(?<!anyio\.)(?<!trio\.)\bsleep\(")
_INPUT = re.compile(r"\binput\(")

# The outermost of these parts found below the guilty frame decides.
_PARTS: tuple[tuple[str, str], ...] = (
    ("/psycopg", "blocking-db"),
    ("/sqlite3/", "blocking-db"),
    ("/sqlalchemy/", "blocking-db"),
    ("/redis/", "blocking-redis"),
    ("/minio/", "blocking-sdk"),
    ("/botocore/", "blocking-sdk"),
    ("/requests/", "blocking-http"),
    ("/urllib3/", "blocking-http"),
    ("/urllib/request.py", "blocking-http"),
    ("/http/client.py", "blocking-http"),
    ("/subprocess.py", "blocking-subprocess"),
    ("/socket.py", "blocking-net"),
    ("/ssl.py", "blocking-net"),
    ("/threading.py", "blocking-sync-primitive"),
    ("/queue.py", "blocking-sync-primitive"),
    ("/concurrent/futures/_base.py", "blocking-sync-primitive"),
    ("/tempfile.py", "blocking-file-io"),
    ("/shutil.py", "blocking-file-io"),
)


def looks_like(stack: Sequence[Frame], guilty: int) -> str | None:
    """Return the conflict's name, or None where the stack alone does not tell.

    `stack` is outermost first, `guilty` the index of the frame that a stall names.
    """
    code = stack[guilty].code
    called = stack[guilty + 1 :]
    # The outermost library frame is the one the user chose; what it builds on is its own affair.
    for frame in called:
        path = frame.file.replace("\\", "/")
        for part, conflict in _PARTS:
            if part in path:
                return conflict
    if _SLEEP.search(code):
        return "blocking-sleep"
    if _INPUT.search(code):
        return "blocking-input"
    return None
