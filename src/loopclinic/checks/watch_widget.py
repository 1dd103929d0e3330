"""The lab beside its notebook: a widget that shows contract, verdict and earlier saves on every save."""

import threading
from dataclasses import asdict
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from loopclinic.checks import checking, lab_files, lab_page, progress
from loopclinic.checks.progress import ProgressError
from loopclinic.checks.watching import Watching
from loopclinic.drawing import scripted, styled
from loopclinic.lessons import Lesson, lesson
from loopclinic.verdict import Verdict

_STATIC = Path(__file__).parent / "static"
_watches: dict[str, "WatchWidget"] = {}
_lock = threading.Lock()


def watch(number: str | int) -> "WatchWidget":
    """Show the lab of lesson `number`: its contract, and the verdict on every save until it is stopped.

    The last expression of a cell shows it. It works on a thread of its own, also while the kernel is
    busy. A second watch of the same lab ends the first. UnknownLessonError, NoLabError or KitNotFoundError
    if there is no such lab.
    """
    one = lesson(number)
    widget = WatchWidget(one)
    with _lock:
        before = _watches.pop(one.name, None)
        _watches[one.name] = widget
    if before is not None:
        before.stop("Another cell watches this lab now.")
    widget.begin()
    return widget


class WatchWidget(anywidget.AnyWidget):
    """Show the contract of a lab as a checklist, and judge the file on every save.

    In JupyterLab one click opens the file beside the notebook, and a place in a verdict opens the file
    at its line. Values are set from the watch's thread.
    """

    _esm = scripted(_STATIC / "lab.js")
    _css = styled(_STATIC / "lab.css")

    lab = traitlets.Dict().tag(sync=True)
    """Its number, name, and the paths to open."""
    state = traitlets.Unicode("waiting").tag(sync=True)
    """`waiting` for a save, `checking` or `stopped`."""
    status = traitlets.Unicode().tag(sync=True)
    """What it does now, as a sentence."""
    promises: Any = traitlets.List().tag(sync=True)
    """The contract, in order: number, state and text of each promise."""
    verdict = traitlets.Dict(default_value=None, allow_none=True).tag(sync=True)
    """The last verdict as shown, None before the first."""
    saves: Any = traitlets.List().tag(sync=True)
    """What earlier checks found, the oldest first."""
    following = traitlets.Dict(default_value=None, allow_none=True).tag(sync=True)
    """Title and notebook of the next lesson."""
    note = traitlets.Unicode().tag(sync=True)
    """A hint, or another sentence for the learner."""
    hints_left = traitlets.Bool(default_value=True).tag(sync=True)

    def __init__(self, one: Lesson) -> None:
        self._lesson = one
        self._watching = Watching(
            lab_files.lab_path(one),
            lambda on_step, stop: checking.check(
                one.number, on_step=on_step, stop=stop, say=partial(setattr, self, "note")
            ),
            on_start=lambda: self._tell("Checking …", "checking"),
            on_step=lambda step: self._tell(f"Checking: {step} …", "checking"),
            on_verdict=self._show,
        )
        super().__init__(
            lab=lab_page.lab_of(one),
            promises=lab_page.contract_of(one),
            saves=lab_page.saves_of(one),
            following=lab_page.next_of(one),
            hints_left=bool(one.hints),
        )
        self.on_msg(self._receive)
        self._tell(f"Edit {self.lab['shown']} and save it: each save is checked.", "waiting")

    @property
    def running(self) -> bool:
        """Whether it still watches."""
        return self._watching.running

    def begin(self) -> None:
        """Start to watch."""
        self._watching.start()

    def stop(self, why: str = "Stopped. Run the cell again to go on.") -> None:
        """End the watch and say why."""
        self._watching.stop()
        self._tell(why, "stopped")

    def _tell(self, sentence: str, state: str) -> None:
        with self.hold_sync():
            self.state, self.status = state, sentence

    def _show(self, verdict: Verdict) -> None:
        with self.hold_sync():
            unreached = lab_page.contract_of(self._lesson, "not-reached")  # if nothing was run
            self.promises = [*map(asdict, verdict.promises)] or unreached
            self.saves = lab_page.saves_of(self._lesson)
            self._tell("Each further save is checked again.", "waiting")
            # Last: whoever waits for the verdict, in another thread, finds the rest beside it.
            self.verdict = lab_page.verdict_page(verdict, self._lesson)

    def _receive(self, _: object, message: dict[str, Any], __: object) -> None:
        match message.get("kind"):
            case "hello":
                self.send({"kind": "here"})
            case "check":
                self._watching.check_now()
            case "hint":
                self._hint()
            case "stop":
                # Waiting for a running check to end must not hold up the kernel's messages.
                threading.Thread(target=self.stop, daemon=True).start()

    def _hint(self) -> None:
        try:
            hint = progress.next_hint(self._lesson)
        except ProgressError as error:
            self.note = str(error)
            return
        if hint is not None:
            self.note = str(hint)
        self.hints_left = hint is not None and not hint.last

    def __str__(self) -> str:
        promises = (f"{one['number']}. {one['text']}" for one in self.promises)
        return "\n".join([self.status, *promises])

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = super()._repr_mimebundle_(**options)
        data, metadata = found if isinstance(found, tuple) else (found or {}, {})
        # Where there is no widget: exported pages, slides.
        rows = "".join(f"<li>{escape(one['text'])}</li>" for one in self.promises)
        html = f"<p>{escape(self.status)}</p><ol>{rows}</ol>"
        return {**data, "text/html": html, "text/plain": str(self)}, metadata
