"""A drawing below the running cell that is replaced while the cell runs, also by a thread."""

import sys
from typing import Any

from loopclinic.drawing.tables import Drawing


class LiveDrawing:
    """Show `first` below the running cell, and what `show` is given after it, in its place.

    It goes on while the loop is stuck, as long as `show` is called by another thread. What is shown
    last stays in the notebook. Outside of one nothing is shown.
    """

    def __init__(self, first: Drawing) -> None:
        self.drawing = first
        ipython = sys.modules.get("IPython")
        self._handle: Any = None
        if ipython is not None and ipython.get_ipython() is not None:
            self._handle = ipython.display.display(first, display_id=True)

    @property
    def shown(self) -> bool:
        """Whether there is a notebook that shows it."""
        return self._handle is not None

    def show(self, drawing: Drawing) -> None:
        """Replace the drawing."""
        if drawing == self.drawing:
            return
        self.drawing = drawing
        if self._handle is not None:
            self._handle.update(drawing)
