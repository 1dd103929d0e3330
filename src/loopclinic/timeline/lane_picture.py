"""Pictures of a timeline: an SVG for light, dark and print, and rows of characters for a terminal.

Each state has a shape besides its color: a task that runs is a tall block, one that is ready a low one with
a frame, one that is suspended a thin line; a stall is a band across all lanes under a diamond.
"""

from collections.abc import Callable, Iterable, Iterator
from html import escape

from loopclinic.drawing.charts import fitted, legend, scale, seconds
from loopclinic.drawing.svg import svg, text
from loopclinic.drawing.tables import Drawing
from loopclinic.timeline.model import Lane, LaneStall, Span, Trace
from loopclinic.units import count, duration, shortened

_RIGHT = 14
_TOP, _ROW = 26, 26
_MOST = 24  # lanes of a picture
_LETTER, _STRONG = 6.1, 7.2  # pixels of a character, about
_NAME, _SHORT_NAME = 18, 12  # characters of a lane's name, on a narrow page the latter
_BROAD = 600  # pixels from which on a page is not narrow
_CELLS, _TEXT_NAME = 64, 18
_FILL = {"running": "var(--lc-lag)", "ready": "var(--lc-reset)", "suspended": "var(--lc-muted)"}
_SIGNS = {"running": "█", "ready": "░", "suspended": "─"}
_ENDS = {"cancelled": "✕", "failed": "!", "lost": "?"}
_END = 20  # characters of how a task ended
_WORDS = {
    "running": "running",
    "ready": "ready, waits for the loop",
    "suspended": "suspended, awaits something",
}


def drawing_of(trace: Trace) -> Drawing:
    """Draw a trace for a notebook or a page; its text is for a terminal."""
    if not trace.lanes:
        return Drawing.note("No task has run yet.")
    lanes = _chosen(trace)
    left_out = len(trace.lanes) - len(lanes)
    more = f"Not drawn: {count(left_out, 'lane')}, of packages or short. Timeline.save() has them."
    notes = [*([more] if left_out else []), *trace.notes]
    keys = [(_FILL[state], words) for state, words in _WORDS.items()]
    if trace.stalls:
        keys.append(("var(--lc-stall)", "stall"))
    html = legend(*keys, between=" &ensp; ")
    html += fitted(lambda width: _picture(trace, lanes, width))
    html += "".join(f"<p class='lc-muted'>{escape(one)}</p>" for one in notes)
    return Drawing(html, "\n".join([*_rows(trace, lanes), *notes]))


def _chosen(trace: Trace) -> list[Lane]:
    """Return the lanes to draw: those of no installed package, and of too many those that ran the longest."""
    own = [one for one in trace.lanes if one.own] or [*trace.lanes]
    longest = sorted(own, key=lambda one: -one.seconds("running"))[:_MOST]
    kept = {id(one) for one in longest}
    return [one for one in own if id(one) in kept]


def _picture(trace: Trace, lanes: list[Lane], width: float) -> str:
    end = trace.end or 1.0
    name = _NAME if width >= _BROAD else _SHORT_NAME
    begin = 20 + _STRONG * name
    floor = _TOP + _ROW * len(lanes)
    late = any(one.outcome in _ENDS and (one.ended or 0) > 0.75 * end for one in lanes)
    room = width - begin - (_END * _LETTER if late else _RIGHT)

    def across(at: float) -> float:
        return begin + room * min(max(at / end, 0.0), 1.0)

    parts = []
    for value in scale(end, 6 if width >= _BROAD else 3):
        x, write = across(value), seconds if trace.unit == "seconds" else "{:g}".format
        parts.append(f"<path class='lc-grid' d='M{x:.1f} {_TOP}V{floor}'/>")
        parts.append(text(x, floor + 16, write(value), anchor="middle"))
    parts += _stalls(trace.stalls, across, floor, width)
    for row, lane in enumerate(lanes):
        y = _TOP + _ROW * (row + 0.5)
        title = " ".join(filter(None, [lane.name, lane.coroutine, lane.outcome, lane.error]))
        named = text(begin - 12, y + 4, shortened(lane.name, name), anchor="end", strong=True)
        parts.append(f"<g><title>{escape(title)}</title>{named}</g>")
        parts += _lane(lane, trace, y, across, titled=width >= _BROAD)
    stalled = f", {count(len(trace.stalls), 'stall')}" if trace.stalls else ""
    label = f"Timeline: {count(len(lanes), 'task')}{stalled}, over {_length(trace, trace.end)}."
    return svg(width, floor + 24, parts, label)


def _stalls(
    stalls: Iterable[LaneStall], across: Callable[[float], float], floor: float, width: float
) -> Iterator[str]:
    taken: list[tuple[float, float]] = []  # where marks and words stand
    for one in sorted(stalls, key=lambda one: one.started - one.ended):
        left, right = across(one.started), across(one.ended)
        right, middle = max(right, left + 1.5), (left + right) / 2
        said = f"{'stuck for' if one.going_on else 'stall of'} {duration(one.ended - one.started)}"
        words = f"{said} at {one.where}"
        wide = len(words) * _STRONG + 16
        at_end = middle + wide > width - 2
        start = middle + 7 - wide if at_end else middle - 7
        yield f"<g><title>{escape(f'{words}  {one.code}')}</title>"
        box = f"M{left:.1f} {_TOP - 4}H{right:.1f}V{floor}H{left:.1f}Z"
        yield f"<path class='lc-stall-block' d='{box}'/>"
        if not any(begun < middle + 6 and middle - 6 < ended for begun, ended in taken):
            yield f"<path class='lc-stall-mark' d='M{middle:.1f} {_TOP - 12}l5 5l-5 5l-5 -5Z'/>"
            if not any(begun < start + wide and start < ended for begun, ended in taken):
                x, anchor = (middle - 9, "end") if at_end else (middle + 9, "start")
                yield text(x, _TOP - 3, words, anchor=anchor, strong=True)
                taken.append((start, start + wide))
            taken.append((middle - 6, middle + 6))
        yield "</g>"


def _lane(
    lane: Lane, trace: Trace, y: float, across: Callable[[float], float], *, titled: bool
) -> Iterator[str]:
    """Yield a lane's spans and marks; `titled`: each span says under the pointer what it is."""
    born, last = across(lane.born), across(trace.end if lane.ended is None else lane.ended)
    yield f"<path d='M{born:.1f} {y - 8:.1f}V{y + 8:.1f}' stroke='var(--lc-muted)'/>"
    drawn = dict.fromkeys(_FILL, -1.0)
    words = []
    for one in lane.spans:
        left, right = across(one.started), across(one.ended)
        if right < drawn[one.state] + 0.4:  # as good as drawn already
            continue
        drawn[one.state] = right
        yield _span(one, left, right, y, f"{lane.name}: {_said(one, trace)}" if titled else "")
        words.append(_written(one, left, right, y))
    yield from words
    for x in map(across, lane.cancel_requests):
        yield (
            f"<g><title>cancel requested</title><path d='M{x - 4:.1f} {y - 11:.1f}l4 5l4 -5' fill='none' "
            "stroke='var(--lc-stall)' stroke-width='2'/></g>"
        )
    if lane.ended is not None:
        yield f"<path d='M{last:.1f} {y - 8:.1f}V{y + 8:.1f}' stroke='var(--lc-text)' stroke-width='2'/>"
        if said := _end(lane):
            color = "muted" if lane.outcome == "cancelled" else "stall"
            yield _label(last + 6, y, shortened(said, _END), color, "start")


def _end(lane: Lane) -> str:
    """Return how a task ended if it was not just done."""
    sign = _ENDS.get(lane.outcome)
    return f"{sign} {lane.error or lane.outcome}" if sign else ""


def _span(span: Span, left: float, right: float, y: float, title: str) -> str:
    wide = right - left
    color = _FILL[span.state]
    if span.state == "suspended":
        shape = f"<path d='M{left:.1f} {y:.1f}H{right:.1f}' stroke='{color}' stroke-width='1.5'/>"
        box = f"M{left:.1f} {y - 8:.1f}h{wide:.1f}v16h-{wide:.1f}Z"
        shape += f"<path d='{box}' fill='transparent'/>"
    elif span.state == "ready":
        shape = f"<rect x='{left:.1f}' y='{y - 4:.1f}' width='{max(wide, 0.8):.1f}' height='8' "
        shape += f"fill='{color}' fill-opacity='.55' stroke='{color}'/>"
    else:
        shape = f"<rect x='{left:.1f}' y='{y - 8:.1f}' width='{max(wide, 1.6):.1f}' height='16' "
        shape += f"fill='{color}'/>"
    return f"<g><title>{escape(title)}</title>{shape}</g>" if title else shape


def _written(span: Span, left: float, right: float, y: float) -> str:
    """Return the words on a span, as many as there is room for; none if there is too little."""
    room = int((right - left - 8) / _LETTER)
    line = ", ".join(filter(None, [span.waits_for, span.where]))
    choices = [span.label] if span.label else [line, span.waits_for] if span.waits_for else []
    fits = next((one for one in choices if one and len(one) <= room), "")
    if not fits and span.label and room >= 2:
        fits = shortened(span.label, room)
    if not fits:
        return ""
    middle = (left + right) / 2
    return _label(middle, y, fits, "surface" if span.state == "running" else "muted", "middle")


def _label(x: float, y: float, words: str, color: str, anchor: str) -> str:
    """Return words on a lane; but for those on a block they hide the line behind them."""
    wide = len(words) * _LETTER
    left = x - wide / 2 if anchor == "middle" else x
    behind = (
        f"<rect x='{left - 2:.1f}' y='{y - 7:.1f}' width='{wide + 4:.1f}' height='14' rx='3' "
        "fill='var(--lc-surface)' pointer-events='none'/>"
    )
    look = f" pointer-events='none' style='font-size:11px;fill:var(--lc-{color})'"
    return behind * (color != "surface") + text(x, y + 4, words, anchor=anchor, more=look)


def _said(span: Span, trace: Trace) -> str:
    words = f"{span.label or span.state} for {_length(trace, span.length)}"
    if span.waits_for:
        words += f", waits for {span.waits_for}"
    if span.where:
        words += f"{' at' if span.state == 'suspended' else ', up to'} {span.where}  {span.code}"
    return words


def _length(trace: Trace, length: float) -> str:
    return duration(length) if trace.unit == "seconds" else count(round(length), "step")


def _rows(trace: Trace, lanes: list[Lane]) -> Iterator[str]:
    """Yield the lines of a terminal's picture: a row a lane, and one for the stalls."""
    end = trace.end or 1.0

    def row(name: str, cells: Iterable[str], words: str = "") -> str:
        return f"{shortened(name, _TEXT_NAME):>{_TEXT_NAME}} {''.join(cells)} {words}".rstrip()

    def fill(cells: list[str], started: float, ended: float, sign: str) -> None:
        first, last = (int(_CELLS * min(at / end, 1.0)) for at in (started, ended))
        for cell in range(min(first, _CELLS - 1), max(first + 1, min(last, _CELLS))):
            cells[min(cell, _CELLS - 1)] = sign

    if trace.stalls:
        cells = [" "] * _CELLS
        for stall in trace.stalls:
            fill(cells, stall.started, stall.ended, "▼")
        yield row("stalls", cells)
    for lane in lanes:
        cells = [" "] * _CELLS
        for state in ("suspended", "ready", "running"):
            for span in lane.spans:
                if span.state == state:
                    fill(cells, span.started, span.ended, _SIGNS[state])
        yield row(lane.name, cells, _end(lane))
    ends = f"0{_length(trace, trace.end):>{_CELLS - 1}}"
    yield row("", ends)
    signs = "  ".join(f"{sign} {state}" for state, sign in _SIGNS.items())
    yield row("", f"{signs}  ✕ cancelled  ! failed  ? lost")
    for stall in trace.stalls:
        yield f"stall of {duration(stall.ended - stall.started)} at {stall.where}  {stall.code}"
