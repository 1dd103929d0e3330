"""Chrome trace event format of a timeline: opens in https://ui.perfetto.dev and chrome://tracing.

The format: "Trace Event Format" by Google, complete events `X`, instant events `i`, metadata `M`.
"""

from typing import Any

from loopclinic.timeline.model import LaneStall, Span, Trace

_LOOP = 1
_STALLS = 0  # the row of the stalls; lanes count from 1


def chrome_trace(trace: Trace, *, name: str = "event loop", origin: float = 0.0) -> dict[str, Any]:
    """Return a trace as JSON values: a row a lane, and one of the stalls; times in microseconds.

    `name` is the loop's, `origin` when the trace began, in seconds.
    """
    events: list[dict[str, Any]] = [_named("process_name", _STALLS, name)]

    def add(row: int, phase: str, words: str, kind: str, at: float, **more: Any) -> None:
        place = {"pid": _LOOP, "tid": row, "ts": round((origin + at) * 1e6, 1)}
        events.append({"ph": phase, "name": words, "cat": kind, **place, **more})

    if trace.stalls:
        events.append(_named("thread_name", _STALLS, "stalls"))
    for stall in trace.stalls:
        details = {"dur": _microseconds(stall), "args": {"code": stall.code}}
        add(_STALLS, "X", f"stall at {stall.where}", "stall", stall.started, **details)
    for row, lane in enumerate(trace.lanes, start=1):
        events.append(_named("thread_name", row, lane.name))
        for span in lane.spans:
            words = f"waits for {span.waits_for}" if span.waits_for else span.label or span.state
            place = {"where": span.where, "code": span.code} if span.where else {}
            details = {"dur": _microseconds(span), "args": place}
            add(row, "X", words, span.state, span.started, **details)
        for at in lane.cancel_requests:
            add(row, "i", "cancel requested", "mark", at, s="t")
        if lane.ended is not None:
            add(row, "i", f"{lane.outcome} {lane.error}".strip(), "mark", lane.ended, s="t")
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"notes": [*trace.notes]}}


def _microseconds(one: Span | LaneStall) -> float:
    return round((one.ended - one.started) * 1e6, 1)


def _named(what: str, row: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": _LOOP, "tid": row, "name": what, "args": {"name": name}}
