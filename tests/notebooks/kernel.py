"""A real kernel for a notebook: cells sent one by one, all at once, or interrupted."""

import os
import queue
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

MARK = "LOOPCLINIC_TEST_MARK"


class Kernel:
    """Runs cells the way JupyterLab does."""

    def __init__(self, folder: Path):
        self.mark = uuid.uuid4().hex
        # A port that was free when it was chosen may be another test's server's when it is bound.
        self.sockets = tempfile.TemporaryDirectory(prefix="kernel-")
        self.manager = KernelManager(
            kernel_name="python3", transport="ipc", ip=str(Path(self.sockets.name, "k"))
        )
        environ = {**os.environ, MARK: self.mark, "JUPYTER_PREFER_ENV_PATH": "1"}
        self.manager.start_kernel(cwd=str(folder), env=environ)
        self.connect()

    def connect(self):
        self.client = self.manager.client()
        self.client.start_channels()
        # Not wait_for_ready: it reads what is published until that pauses, and a scope never does.
        self.reply(self.client.kernel_info(), 60)

    @contextmanager
    def lent(self, notebook):
        """Hand the kernel to nbclient: two clients of one manager share an identity, so ours leaves."""
        self.client.stop_channels()
        other = NotebookClient(notebook, km=self.manager, timeout=120)
        try:
            with other.setup_kernel(cleanup_kc=False):
                yield other
        finally:
            other.kc.stop_channels()
            self.connect()

    def restart(self):
        self.client.stop_channels()
        self.manager.restart_kernel(now=False)
        self.connect()

    def send(self, source: str) -> str:
        # As JupyterLab sends it; an error must not drop the cells that are queued behind.
        return self.client.execute(
            source, store_history=True, allow_stdin=False, stop_on_error=True
        )

    def reply(self, request: str, seconds: float) -> dict:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                message = self.client.get_shell_msg(timeout=max(0.1, end - time.monotonic()))
            except queue.Empty:
                break
            if message["parent_header"].get("msg_id") == request:
                return message["content"]
        raise TimeoutError(f"no reply within {seconds} s: the cell was dropped, or it hangs")

    def told(self, request: str, kind: str, seconds: float, **content: str) -> None:
        """Wait until the kernel has published something of that kind about a request."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with suppress(queue.Empty):
                message = self.client.get_iopub_msg(timeout=left)
                if (
                    message["parent_header"].get("msg_id") == request
                    and message["msg_type"] == kind
                    and content.items() <= message["content"].items()
                ):
                    return
        raise TimeoutError(f"no {kind} within {seconds} s")

    def run(self, source: str, seconds: float = 60) -> dict:
        return self.reply(self.send(source), seconds)

    def value(self, expression: str):
        """Evaluate in the kernel; plain values only."""
        message = self.client.execute("", user_expressions={"it": f"repr({expression})"})
        content = self.reply(message, 30)["user_expressions"]["it"]
        return eval(eval(content["data"]["text/plain"]))  # a repr of a repr

    def family(self) -> list[psutil.Process]:
        """The processes that carry this kernel's mark."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(MARK) == self.mark
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def shut_down(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


@contextmanager
def kernel(folder: Path):
    one = Kernel(folder)
    try:
        yield one
    finally:
        if one.manager.is_alive():
            one.client.stop_channels()
            one.manager.shutdown_kernel(now=True)
        for process in one.family():
            process.kill()
        one.sockets.cleanup()
