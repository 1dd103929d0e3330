"""A slider by which the reader finds the knee, before Little's law tells."""

from typing import Any

import ipywidgets as widgets

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.unbounded_gather.sweep import Sweep

__all__ = ["KneeFinder"]


class KneeFinder(widgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Show a sweep point by point: each limit that the slider visits is drawn and stays.

    Nothing is measured when the slider moves; all of it was before.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self._visited: set[int] = set()
        limits = [point.limit for point in sweep.points]
        self.slider = widgets.SelectionSlider(
            options=limits,
            value=limits[0],
            description="limit",
            continuous_update=True,
            layout=widgets.Layout(width="560px"),
        )
        self.law = widgets.ToggleButton(
            value=False,
            description="Draw Little's law",
            tooltip="Show all limits, the knee, and where Little's law puts it",
            layout=widgets.Layout(width="180px"),
        )
        self.picture = widgets.HTML()
        # These may run on another thread than the cell's: they only set a value.
        self.slider.observe(self._draw, names="value")
        self.law.observe(self._draw, names="value")
        super().__init__([widgets.HBox([self.slider, self.law]), self.picture])
        self._draw()

    def _draw(self, _: Any = None) -> None:
        limit = self.slider.value
        self._visited.add(limit)
        if self.law.value:
            drawing = self.sweep.drawing()
        else:
            point = next(one for one in self.sweep.points if one.limit == limit)
            svg = self.sweep.svg(self._visited, at=limit, law=False)
            drawing = Drawing(f"<p><b>{point}</b></p>{svg}", str(point))
        self.picture.value = drawing._repr_html_()

    def __str__(self) -> str:
        return str(self.sweep)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = super()._repr_mimebundle_(**options)
        data, metadata = found if isinstance(found, tuple) else (found or {}, {})
        # Where there is no widget (exported pages, slides), the whole picture.
        whole = self.sweep.drawing()
        return {**data, "text/html": whole._repr_html_(), "text/plain": str(whole)}, metadata
