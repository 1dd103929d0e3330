"""HTML and SVG of notebooks, widgets and pages: one stylesheet, tables, charts, whole documents."""

from pathlib import Path

STYLE = (Path(__file__).parent / "style.css").read_text("utf-8")
"""CSS for whatever stands in an element of class `lc`, on light, dark and paper."""


def styled(file: Path) -> str:
    """Return the CSS of a widget: the shared stylesheet, and the widget's own file below it."""
    return STYLE + file.read_text("utf-8")


def scripted(*files: Path) -> str:
    """Return the code of a widget as one module: the shared part, and the widget's own files below it."""
    shared = Path(__file__).parent / "widget.js"
    return "\n".join(file.read_text("utf-8") for file in (shared, *files))
