"""The playground itself: controls, what callers wait, the service's scope, stories and recordings."""

import asyncio
import base64
import importlib
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as w

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.playground.chart import Chart, FarScope
from loopclinic.lessons.playground.controls import Controls
from loopclinic.lessons.playground.findings import table
from loopclinic.lessons.playground.pulse import Pulse, Seen, Step
from loopclinic.lessons.playground.recording import Recording
from loopclinic.lessons.playground.settings import Settings, in_words
from loopclinic.lessons.playground.shelf import Shelf
from loopclinic.lessons.playground.stories import STORIES

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Playground"]

_UNSEEN = 90.0  # seconds without a sign of life from any page until everything is ended
_FIRST = 4.0  # seconds to wait for first figures, where a still picture has to do
_PICTURES = "loopclinic.lessons.playground.picture"
_START = "Drag “blocking requests” to the right: watch the p99."


class Playground(w.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A service under load, in processes of its own, and its dials; shown as the last expression.

    Everything runs outside of the kernel and its loop. It ends when no page shows it any more, when
    the cell runs again (there is one playground to a kernel), by `close()`, and with the kernel.
    """

    _live: ClassVar["weakref.ref[Playground] | None"] = None

    def __init__(self, settings: Settings | None = None) -> None:
        older = Playground._live() if Playground._live is not None else None
        if older is not None:
            older.close()
        Playground._live = weakref.ref(self)
        first = settings or Settings()
        self._lock = threading.RLock()
        self._pulse: Pulse | None = None
        self._seen_at = time.monotonic()
        self._beside: dict[str, Any] = {}
        self._caption: dict[str, Any] = {}
        self._story = ""
        self.controls = Controls(first, self._turned)
        self.chart = Chart(self._page, self._known)
        self.shelf = Shelf(self._recording, self.chart)
        self._scope = w.VBox([])
        self._run = w.ToggleButton(value=True, description="Running", icon="pause")
        self._run.observe(self._switch, names="value")
        self._closed = False
        super().__init__(
            [self.controls, self._stories(), self.chart, self.shelf.row, self._scope],
        )
        self.add_class("lc-playground")
        self.start()

    # For cells.

    @property
    def settings(self) -> Settings:
        """What the controls say."""
        return self.controls.settings

    @property
    def running(self) -> bool:
        """Whether the service runs."""
        pulse = self._pulse
        return pulse is not None and pulse.running

    def start(self) -> None:
        """Start the service and its load, if they don't run."""
        with self._lock:
            if self.running or self._closed:
                return
            self._seen_at = time.monotonic()
            self.chart.send({"kind": "clear"})
            self._pulse = Pulse(self.controls.settings, self._hear)
            self._far = FarScope()
            self._scope.children = [self._far]
            self._pulse.start()
        self._run.value = True

    def stop(self) -> None:
        """End the service and its load; the page keeps what it shows."""
        with self._lock:
            pulse = self._pulse
        if pulse is not None:
            pulse.stop()

    def close(self) -> None:
        """End everything and take it off the page."""
        if (
            "_closed" not in self.__dict__ or self._closed
        ):  # ipywidgets closes what was never made, too
            super().close()
            return
        self._closed = True
        self.stop()
        for part in (self.controls, self.chart, self.shelf.row, self._scope, *self._scope.children):
            part.close()
        super().close()

    def turn(self, **changes: Any) -> None:
        """Turn controls, by the names of `Settings`.

        Raises:
            ValueError: there is no such control, or it has no such value.
        """
        settings = Settings.of(self.controls.settings.to_dict() | changes)
        self.controls.show(settings)
        self._turned(settings)

    async def measure(self, *positions: Settings, seconds: float = 5.0) -> Drawing:
        """Hold each of these positions of the controls for some seconds; set figures beside theory.

        The controls go back to where they were: what breaks a service need not go on breaking it.
        """
        before = self.settings
        self._say("", f"A cell holds the controls for {seconds * len(positions):.0f} s.")
        try:
            seen = await self._played([Step(one, seconds) for one in positions])
        finally:
            if self.running:
                self.turn(**before.to_dict())
        self._say("", "Measured: the controls are back where they were.")
        return table(seen)

    async def tell(self, key: str, *, seconds: float | None = None) -> Drawing:
        """Tell a story, in its own time or in so many seconds; return what it showed.

        Raises:
            KeyError: there is no such story; `STORIES` has the names.
        """
        story = STORIES[key]
        self._story = story.title
        seen = await self._played(story.within(seconds))
        verdict = story.verdict(seen)
        self._say(f"{story.title}.", verdict)
        return table(seen, verdict)

    def keep(self, name: str) -> Recording:
        """Keep the last minute under a name; kept recordings outlive the kernel.

        Raises:
            RecordingError: nothing was measured yet, or the name is empty.
        """
        return self.shelf.keep(name)

    # For the page.

    async def _played(self, steps: Sequence[Step]) -> list[Seen]:
        future = self._play(steps)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancelled():
                raise RuntimeError(
                    "The controls were turned by somebody else, or the service has ended: run the cell again."
                ) from None
            if self._pulse is not None:
                self._pulse.leave()
            raise

    def _play(self, steps: Sequence[Step]) -> "Future[list[Seen]]":
        self.start()
        self._seen_at = time.monotonic() + sum(step.seconds for step in steps)
        assert self._pulse is not None
        return self._pulse.play(steps)

    def _stories(self) -> Any:
        buttons = [self._run]
        for story in STORIES.values():
            button = w.Button(description=story.title, tooltip=story.steps[0].sentence, icon="play")
            button.on_click(lambda _, key=story.key: self._begin(key))
            buttons.append(button)
        row = w.HBox(buttons)
        row.add_class("lc-tray")
        return row

    def _begin(self, key: str) -> None:
        story = STORIES[key]
        self._story = story.title

        def end(played: "Future[list[Seen]]") -> None:
            if not played.cancelled():
                self._say(story.title + ".", story.verdict(played.result()))

        self._play(story.steps).add_done_callback(end)

    def _turned(self, settings: Settings) -> None:
        pulse = self._pulse
        if pulse is None:
            return
        if pulse.playing:
            pulse.leave()
            self._say("", "The story has ended: you have turned a control.")
        pulse.turn(settings)

    def _switch(self, change: Mapping[str, Any]) -> None:
        self._run.description = "Running" if change["new"] else "Stopped"
        self._run.icon = "pause" if change["new"] else "play"
        if change["new"]:
            self.start()
        elif self.running:
            self.stop()

    def _page(self, kind: str) -> None:
        if kind == "alive":
            self._seen_at = max(self._seen_at, time.monotonic())
        elif kind == "left":
            # A page that is only loaded again says so within seconds.
            self._seen_at = min(self._seen_at, time.monotonic() - _UNSEEN + 20)

    # On the pulse's thread.

    def _hear(self, message: dict[str, Any]) -> None:
        match message["kind"]:
            case "tick":
                self._far.hear(message)
                if time.monotonic() - self._seen_at > _UNSEEN and self._pulse is not None:
                    self._pulse.stop()
            case "history":
                self._far.begin(message["history"])
                # The first plot would wait for this; here nobody does.
                threading.Thread(
                    target=importlib.import_module, args=(_PICTURES,), daemon=True
                ).start()
            case "beside":
                self._beside = message
                self.chart.send(message)
            case "step":
                self._step(message)
            case "state":
                self._state(message)
            case _:
                self.chart.send(message)

    def _step(self, message: dict[str, Any]) -> None:
        if message["last"]:
            return
        self.controls.show(message["settings"])
        if message["sentence"]:
            self._say(f"{self._story}.", message["sentence"])

    def _state(self, message: dict[str, Any]) -> None:
        state, sentence = message["state"], message["sentence"]
        if state == "refused":
            self.controls.without("query")
            self.controls.show(self.controls.settings.but(share=0.0))
        elif state == "stopped":
            self._far.stop()
            self._run.value = False
            sentence = sentence or "Stopped: nothing runs. “Stopped” above starts it again."
        elif state == "running" and self._caption.get("state") != "running":
            sentence = sentence or _START
        if sentence:
            self._say("", sentence, state)

    def _say(self, title: str, sentence: str, state: str = "running") -> None:
        self._caption = {"kind": "caption", "title": title, "says": sentence, "state": state}
        self.chart.send(self._caption)

    def _known(self) -> dict[str, Any]:
        pulse = self._pulse
        points = list(pulse.points) if pulse is not None else []
        changes = list(pulse.changes) if pulse is not None else []
        return {
            "points": [point.to_list() for point in points],
            "marks": [{"at": one.at, "words": in_words(one.changed)} for one in changes],
            "caption": self._caption,
            "beside": self._beside or None,
        }

    def _recording(self, name: str) -> Recording:
        pulse = self._pulse
        points = list(pulse.points) if pulse is not None else []
        changes = list(pulse.changes) if pulse is not None else []
        first = pulse.first if pulse is not None else self.settings
        return Recording.of(name, first, points, changes)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        from loopclinic.scope.widget import _running_cell  # noqa: PLC0415 - the same question

        found = super()._repr_mimebundle_(**kwargs)
        data, metadata = found if isinstance(found, tuple) else (found or {}, {})
        data = {
            **data,
            "text/plain": f"{type(self).__name__}: {in_words(Settings().changes(self.settings)) or 'as it begins'}",
        }
        if _running_cell()[0] is None:
            # Run by nbconvert or the like, which keeps what it is given: a page draws for itself.
            from loopclinic.lessons.playground.picture import picture, png  # noqa: PLC0415 - slow

            end = time.monotonic() + _FIRST
            while self.running and time.monotonic() < end:
                time.sleep(0.1)
            if self._pulse is not None and self._pulse.points:
                still = picture(self._recording("The playground"))
                data["image/png"] = base64.b64encode(png(still)).decode()
        return data, metadata
