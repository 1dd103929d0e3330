"""Slider with which a reader searches for the knee of a sweep."""

from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

from loopclinic.drawing import scripted
from loopclinic.drawing.tables import Drawing
from loopclinic.lessons.story.sweep import Swept


class Picture(anywidget.AnyWidget):
    """HTML in an output in which neither mouse nor keys select the cell: Shift+Enter would measure again."""

    _esm = scripted(Path(__file__).parent / "knee_slider.js")
    value = traitlets.Unicode().tag(sync=True)


class KneeFinder(widgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Show a sweep point by point: each limit that the slider visits is drawn and stays.

    Nothing is measured when the slider moves; all of it was before.
    """

    def __init__(self, swept: Swept) -> None:
        self.swept = swept
        self._visited: set[int] = set()
        limits, wide = [point.limit for point in swept.points], widgets.Layout(width="560px")
        self.slider = widgets.SelectionSlider(options=limits, description="limit", layout=wide)
        tip = "Show all limits, the knee, and where Little's law puts it"
        self.law = widgets.ToggleButton(description="Draw Little's law", tooltip=tip)
        self.law.layout = widgets.Layout(width="180px")
        self.picture = Picture()
        # These may run on another thread than the cell's: they only set a value.
        self.slider.observe(self._draw, names="value")
        self.law.observe(self._draw, names="value")
        super().__init__([widgets.HBox([self.slider, self.law]), self.picture])
        self.add_class("lc")
        self._draw()

    def _draw(self, _: Any = None) -> None:
        limit = self.slider.value
        self._visited.add(limit)
        words = self.swept.words(limit)
        svg = f"<p><b>{words}</b></p>{self.swept.svg(self._visited, at=limit)}"
        drawing = self.swept.drawing() if self.law.value else Drawing(svg, words)
        self.picture.value = drawing._repr_html_()

    def __str__(self) -> str:
        return str(self.swept)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = super()._repr_mimebundle_(**options)
        data, metadata = found if isinstance(found, tuple) else (found or {}, {})
        # Where there is no widget (exported pages, slides), the whole picture.
        html = self.swept.drawing()._repr_html_()
        return {**data, "text/html": html, "text/plain": str(self.swept)}, metadata
