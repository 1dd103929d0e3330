"""The `Playground` widget: joins controls, chart, scope, stories and recordings."""

import asyncio
import base64
import importlib
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as w

from loopclinic.drawing.tables import Drawing
from loopclinic.lessons.playground.chart import Chart, RemoteScope
from loopclinic.lessons.playground.controls import Controls
from loopclinic.lessons.playground.figure_tables import results
from loopclinic.lessons.playground.recording import Recording
from loopclinic.lessons.playground.saved_runs import SavedRuns
from loopclinic.lessons.playground.settings import Settings, in_words
from loopclinic.lessons.playground.stories import STORIES
from loopclinic.lessons.playground.update_thread import Seen, Step, UpdateThread
from loopclinic.units import duration

if TYPE_CHECKING:
    from concurrent.futures import Future

_UNSEEN = 90.0  # seconds without a sign of life from any page until everything is ended
_FIRST = 4.0  # seconds to wait for first figures, where a still picture has to do
_PICTURES = "loopclinic.lessons.playground.recording_picture"
_START = "Drag “blocking requests” to the right: watch the p99."


class Playground(w.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A service under load, in processes of its own, and its dials; shown as the last expression.

    Everything runs outside of the kernel and its loop. It ends when no page shows it any more, when
    the cell runs again (there is one playground to a kernel), by `close()`, and with the kernel.
    """

    _live: ClassVar["weakref.ref[Playground] | None"] = None

    def __init__(self, settings: Settings | None = None) -> None:
        if Playground._live is not None and (older := Playground._live()) is not None:
            older.close()
        Playground._live = weakref.ref(self)
        first = settings or Settings()
        self._lock = threading.RLock()
        self._updates = UpdateThread(first, self._receive)
        self._seen_at = time.monotonic()
        self._beside: dict[str, Any] = {}
        self._caption: dict[str, Any] = {}
        self._set = first
        self._story = ""
        self.controls = Controls(first, self._turned)
        self.chart = Chart(self._page, self._known)
        self.saved_runs = SavedRuns(self._recording, self.chart)
        self._scope = w.VBox([])
        self._run = w.ToggleButton(value=True, description="Running", icon="pause")
        self._run.observe(self._switch, names="value")
        self._closed = False
        rows = [self._stories(), self.controls, self.chart, self.saved_runs.row, self._scope]
        super().__init__(rows)
        self.add_class("lc")
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
        return self._updates.running

    def start(self) -> None:
        """Start the service and its load, if they don't run."""
        with self._lock:
            if self.running or self._closed:
                return
            self._seen_at = time.monotonic()
            self.chart.send({"kind": "clear"})
            said = "Starting a service and its callers, in processes of their own."
            self._say("", said, "starting")
            self._updates = UpdateThread(self.controls.settings, self._receive)
            self._remote = RemoteScope()
            self._scope.children = [self._remote]
            self._updates.start()
        self._run.value = True

    def stop(self) -> None:
        """End the service and its load; the page keeps what it shows."""
        with self._lock:
            updates = self._updates
        updates.stop()

    def close(self) -> None:
        """End everything and take it off the page."""
        # ipywidgets closes what was never made, too
        if "_closed" not in self.__dict__ or self._closed:
            super().close()
            return
        self._closed = True
        self.stop()
        shown = (self.controls, self.chart, self.saved_runs.row, self._scope)
        for part in (*shown, *self._scope.children):
            part.close()
        super().close()

    def turn(self, **changes: Any) -> None:
        """Set controls, by the names of `Settings`.

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
        return results(seen)

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
        return results(seen, verdict)

    def keep(self, name: str) -> Recording:
        """Save the last minute under a name; recordings outlive the kernel.

        Raises:
            RecordingError: nothing was measured yet, or the name is empty.
        """
        return self.saved_runs.keep(name)

    # For the page.

    async def _played(self, steps: Sequence[Step]) -> list[Seen]:
        future = self._play(steps)
        self.chart.send({"kind": "look"})
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancelled():
                raise RuntimeError(
                    "The controls were turned by somebody else, or the service has ended: run the cell again."
                ) from None
            self._updates.leave()
            raise

    def _play(self, steps: Sequence[Step]) -> "Future[list[Seen]]":
        self.start()
        self._seen_at = time.monotonic() + sum(step.seconds for step in steps)
        return self._updates.play(steps)

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
        updates = self._updates
        changed, self._set = in_words(self._set.changes(settings)), settings
        ended = "The story has ended: you have turned a control. " if updates.playing else ""
        if updates.playing:
            updates.leave()
        if changed:
            known = [point.p99 for point in updates.points if point.p99 is not None]
            before = f"The p99 was {duration(known[-1])}; " if known else ""
            said = f"{ended}{before}the dashed line is where theory expects it now."
            self._say(f"{changed[0].upper()}{changed[1:]}.", said)
        updates.turn(settings)

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

    # On the update thread.

    def _receive(self, message: dict[str, Any]) -> None:
        match message["kind"]:
            case "tick":
                self._remote.add(message)
                if time.monotonic() - self._seen_at > _UNSEEN:
                    self._updates.stop()
            case "history":
                self._remote.begin(message["history"])
                # The first plot would wait for this; here nobody does.
                load = importlib.import_module
                threading.Thread(target=load, args=(_PICTURES,), daemon=True).start()
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
        self._set = message["settings"]
        if message["sentence"]:
            self._say(f"{self._story}.", message["sentence"])

    def _state(self, message: dict[str, Any]) -> None:
        state, sentence = message["state"], message["sentence"]
        if state == "refused":
            self.controls.without("query")
            self.controls.show(self.controls.settings.but(share=0.0))
            self._set = self.controls.settings
        elif state == "stopped":
            self._remote.stop()
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
        points, changes = list(self._updates.points), list(self._updates.changes)
        return {
            "points": [point.to_list() for point in points],
            "marks": [{"at": one.at, "words": in_words(one.changed)} for one in changes],
            "caption": self._caption,
            "beside": self._beside or None,
        }

    def _recording(self, name: str) -> Recording:
        updates = self._updates
        return Recording.of(name, updates.first, list(updates.points), list(updates.changes))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        from loopclinic.scope.widget import _running_cell  # the same question

        found = super()._repr_mimebundle_(**kwargs)
        data, metadata = found if isinstance(found, tuple) else (found or {}, {})
        words = in_words(Settings().changes(self.settings)) or "as it begins"
        data = {**data, "text/plain": f"{type(self).__name__}: {words}"}
        if _running_cell()[0] is None:
            # Run by nbconvert or the like, which keeps what it is given: a page draws for itself.
            from loopclinic.lessons.playground.recording_picture import picture, png  # slow

            end = time.monotonic() + _FIRST
            while self.running and time.monotonic() < end:
                time.sleep(0.1)
            if self._updates.points:
                still = picture(self._recording("The playground"))
                data["image/png"] = base64.b64encode(png(still)).decode()
        return data, metadata
