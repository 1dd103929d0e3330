"""Widgets for playground recordings: save the last minute, draw it under the next, download, upload."""

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from loopclinic.lessons.playground.chart import Chart
from loopclinic.lessons.playground.recording import Recording, RecordingError, recordings


class SavedRuns:
    """Holds the kept recordings. `make(name)` makes one; `chart` shows it and hands files out."""

    def __init__(self, make: Callable[[str], Recording], chart: Chart) -> None:
        self._make, self._chart = make, chart
        self._kept = recordings()
        self._name = w.Text(placeholder="name of this minute", continuous_update=True)
        tip = "Keep the last minute under this name"
        keep = w.Button(description="Keep", icon="save", tooltip=tip)
        self._choice = w.Dropdown(
            options=self._options(), value="", tooltip="Lay a kept minute under the live one"
        )
        files = [
            w.Button(description=kind, icon="download", tooltip=f"Save the chosen minute as {kind}")
            for kind in ("JSON", "PNG")
        ]
        self._open = w.FileUpload(accept=".json", description="Open", multiple=False)
        self._status = w.Label("")
        self.row = w.HBox([self._name, keep, self._choice, *files, self._open, self._status])
        self.row.add_class("lc-tray")
        telling = self._reporting_refusals
        keep.on_click(telling(lambda _: self.keep(self._name.value)))
        for one in files:
            one.on_click(telling(lambda it: self._download(self._chosen(), it.description)))
        lay = telling(lambda _: self.lay_under(self._choice.value))
        self._choice.observe(lay, names="value")
        self._open.observe(telling(self._upload), names="value")

    def keep(self, name: str) -> Recording:
        """Save the last minute; see `Recording.of` for the errors."""
        one = self._make(name)
        one.save()
        self._add(one)
        self._status.value = f"Kept {one.seconds:.0f} s as “{one.name}”."
        return one

    def lay_under(self, name: str) -> None:
        """Lay a kept recording under the live lines, or none of them for an empty name."""
        one = self._kept.get(name)
        wanted = name if one is not None else ""
        if self._choice.value != wanted:
            self._choice.value = wanted
        self._chart.lay_under(one)

    def _add(self, one: Recording) -> None:
        chosen = self._choice.value
        self._kept = {one.name: one} | {
            name: kept for name, kept in self._kept.items() if name != one.name
        }
        self._choice.options = self._options()
        self._choice.value = chosen if chosen in self._kept else ""

    def _options(self) -> list[tuple[str, str]]:
        return [("draw a kept minute behind", ""), *((name, name) for name in self._kept)]

    def _chosen(self) -> Recording:
        """Return the kept recording that is chosen, else the last minute itself."""
        if self._choice.value:
            return self._kept[self._choice.value]
        return self._make(self._name.value.strip() or "the last minute")

    def _download(self, one: Recording, kind: str) -> None:
        if kind == "JSON":
            data, mime = one.to_json().encode(), "application/json"
        else:
            from loopclinic.lessons.playground.recording_picture import picture, png  # slow

            data, mime = png(picture(one, dark=False)), "image/png"
        self._chart.download(f"{one.file_name}.{kind.lower()}", mime, data)

    def _upload(self, change: dict[str, Any]) -> None:
        for file in change["new"]:
            one = Recording.from_json(bytes(file["content"]).decode("utf-8", "replace"))
            one.save()
            self._add(one)
            self.lay_under(one.name)
            self._status.value = f"Opened “{one.name}”."

    def _reporting_refusals(self, act: Callable[[Any], Any]) -> Callable[[Any], None]:
        """Return the action; a RecordingError that it raises is shown on the page."""

        def run(change: Any) -> None:
            try:
                act(change)
            except RecordingError as error:
                self._status.value = str(error)

        return run
