"""Runs the kit's own work where no signal's handler can raise: in a thread beside the main thread, which waits."""

import _thread
import asyncio
import os
import signal
import threading
from collections.abc import Callable
from itertools import compress
from typing import NamedTuple

_SIGNALS = sorted(signal.valid_signals())
_START = 1.0  # seconds for a thread to begin: one that could not, or died, is not waited for


class Caller(NamedTuple):
    """The thread that some work is done for, by its identifier, and the loop that runs in it."""

    thread: int
    loop: asyncio.AbstractEventLoop | None


_beside = threading.local()
_new_lock, _start_thread = _thread.allocate_lock, _thread.start_new_thread  # gevent replaces them


def caller() -> Caller:
    """Return the thread that this work is done for: the current one, except within `undisturbed`."""
    found: Caller | None = getattr(_beside, "caller", None)
    return found or Caller(threading.get_ident(), asyncio._get_running_loop())  # noqa: SLF001 - the public one raises


def undisturbed(work: Callable[[], object]) -> Exception | None:
    """Do some work while the calling thread waits; return the error that it raised, or None.

    Python calls the handlers of signals in the main thread, between any two steps of it. What they raise is for
    the program: work in which it were raised would break off, and might suppress it as an error of its own.
    Here it is raised as soon as the work is done. Where no handler of the program's is set there is no other
    thread: it costs two switches.
    """
    errors: list[Exception] = []
    served, over, claim, done = caller(), _new_lock(), _new_lock(), []

    def attempt() -> None:
        # Claimed by a step of C: no handler raises between that and `try`.
        # loopclinic: ignore[blocking-sync-primitive] it waits for nobody
        for claimed in compress([work], map(claim.acquire, [False])):
            try:
                claimed()
            except Exception as error:  # it is returned
                errors.append(error)
            finally:
                done.append(True)

    def beside() -> None:
        _beside.caller = served
        try:
            attempt()
        finally:
            over.release()

    raised: BaseException | None = None
    if threading.get_ident() != threading.main_thread().ident or not any(map(_handled, _SIGNALS)):
        attempt()
    else:
        # loopclinic: ignore[blocking-sync-primitive] nobody else has it yet
        over.acquire()
        process = os.getpid()
        try:
            _start_thread(beside, ())
        except BaseException as error:
            if isinstance(error, RuntimeError) and "new thread" in str(error):
                attempt()  # there can be no thread, such as at the interpreter's end
            else:
                raised = error
        ended = False
        while not ended:
            try:
                ended = bool(done)
                # A handler is called at the end of a call: after the look above, so that none is left for later.
                if os.getpid() != process:  # it has forked: in the child there is no such thread
                    break
                # loopclinic: ignore[blocking-sync-primitive] the work is short, and would else be done here
                if not ended and not over.acquire(timeout=_START):
                    attempt()  # unless the thread has begun it
            except BaseException as error:
                raised = error
    if raised is not None:
        raise raised
    return errors[0] if errors else None


def _handled(number: int) -> bool:
    """Return whether a handler of the program's is set: Python's and asyncio's raise KeyboardInterrupt at most."""
    handler = signal.getsignal(number)
    function = getattr(handler, "func", handler)
    theirs = str(getattr(function, "__module__", "")).startswith("asyncio.")
    return callable(handler) and function is not signal.default_int_handler and not theirs
