"""The notebook's watch: a small widget that shows the verdict again on every save of the lab."""

import html
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets

from loopclinic.checks import checking, hints, labs
from loopclinic.checks.progress import ProgressError
from loopclinic.checks.watching import Watching
from loopclinic.lessons import Lesson, lesson
from loopclinic.places import kit_root
from loopclinic.verdict import Verdict

__all__ = ["WatchWidget", "watch"]

_watches: dict[str, "WatchWidget"] = {}
_lock = threading.Lock()


def watch(number: str | int) -> "WatchWidget":
    """Show the verdict of the lab of lesson `number` on every save, until it is stopped.

    The last expression of a cell shows it. It works on a thread of its own, also while the kernel is
    busy. A second watch of the same lab ends the first.

    Raises:
        UnknownLessonError: there is no such lesson.
        NoLabError: it has no lab.
        KitNotFoundError: the kit's folder was not found.
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


class WatchWidget(ipywidgets.VBox):  # type: ignore[misc]
    """Status, verdict, hint, and buttons; values are set from the watch's thread."""

    def __init__(self, one: Lesson) -> None:
        path = labs.lab_path(one)
        try:
            self._shown = str(path.relative_to(kit_root()))
        except ValueError:
            self._shown = str(path)
        self._lesson = one
        self._status = ipywidgets.HTML()
        self._verdict = ipywidgets.HTML()
        self._hint = ipywidgets.HTML()
        self._check_button = _button("Check now", "Judge the file as it is", self._on_check)
        self._hint_button = _button("Next hint", "Three grades", self._on_hint)
        self._stop_button = _button("Stop", "End this watch", self._on_stop)
        self._watching = Watching(
            path,
            lambda on_step, stop: checking.check(
                one.number, on_step=on_step, stop=stop, say=self._say
            ),
            on_start=lambda: self._tell("Checking …"),
            on_step=lambda step: self._tell(f"Checking: {step} …"),
            on_verdict=self._show,
        )
        super().__init__(
            [
                self._status,
                self._verdict,
                self._hint,
                ipywidgets.HBox([self._check_button, self._hint_button, self._stop_button]),
            ]
        )
        self._tell(f"Watching {self._shown}: edit it, save it, and the verdict appears here.")

    @property
    def running(self) -> bool:
        """Whether it still watches."""
        return self._watching.running

    @property
    def verdict(self) -> str:
        """The verdict as shown, empty before the first."""
        return str(self._verdict.value)

    @property
    def status(self) -> str:
        """The status line as shown."""
        return str(self._status.value)

    def begin(self) -> None:
        """Start to watch."""
        self._watching.start()

    def stop(self, why: str = "Stopped. Run the cell again to go on.") -> None:
        """End the watch and say why."""
        self._watching.stop()
        for button in (self._check_button, self._stop_button):
            button.disabled = True
        self._tell(why)

    def _tell(self, text: str) -> None:
        self._status.value = f"<div role='status' aria-live='polite'>{html.escape(text)}</div>"

    def _say(self, sentence: str) -> None:
        self._hint.value = _note(sentence)

    def _show(self, verdict: Verdict) -> None:
        self._verdict.value = verdict._repr_html_()
        self._tell(f"Watching {self._shown}: the next save is checked again.")

    def _on_check(self) -> None:
        self._watching.check_now()

    def _on_hint(self) -> None:
        try:
            hint = hints.next_hint(self._lesson)
        except ProgressError as error:
            self._hint.value = _note(str(error))
            return
        if hint is None:
            self._hint.value = _note("This lesson has no hints.")
            return
        self._hint.value = _note(f"Hint {hint.grade} of {hint.grades}: {hint.text}")
        self._hint_button.disabled = hint.last

    def _on_stop(self) -> None:
        # Waiting for a running check to end must not hold up the kernel's messages.
        threading.Thread(target=self.stop, daemon=True).start()


def _note(text: str) -> str:
    return f"<div role='note' style='max-width:60em'>{html.escape(text)}</div>"


def _button(label: str, tip: str, action: Callable[[], None]) -> Any:
    button = ipywidgets.Button(description=label, tooltip=tip)
    button.on_click(lambda _: action())
    return button
