"""Experiment of notebook 03: what `nest_asyncio` and `nest_asyncio2` allow, cost and break."""

from platform import python_version
from statistics import median
from typing import Any

from loopclinic.drawing.tables import Drawing, bold, code, span, table
from loopclinic.lessons.story.asyncio_patches import PATCHES, tried
from loopclinic.lessons.story.patch_program import SLOW, SWITCHES

_TRIED = ("nested_until", "seconds", "counted", "warned", "current", "deadline")

Found = dict[str, Any]
Runs = dict[str, list[Found]]


async def patched(rounds: int = 3) -> Drawing:
    """Run the same program plain and under either patch, in turns; about six seconds."""
    runs: Runs = {name: [] for name in ("", *PATCHES)}
    for _ in range(rounds):
        for name, found in runs.items():
            found.append(await tried(name, *_TRIED))
    return _table(runs)


def _table(runs: Runs) -> Drawing:
    """Draw a row for each thing tried, a column for each way to run it."""

    def each(field: str) -> list[str]:
        return [found[0][field] for found in runs.values()]

    rows = [
        ("It allows", "run_until_complete on a running loop", each("nested_until")),
        ("It costs", f"{2 * SWITCHES:,} switches between two tasks", _costs(runs)),
        ("It hides", f"debug mode, a callback that takes {span(SLOW)}", each("warned")),
    ]
    # What breaks depends on the Python: the first patch was written before 3.14.
    for what, field in (
        ("a counter read before and written after a call that nests", "counted"),
        ("asyncio.current_task() in a task", "current"),
        ("asyncio.timeout() around a call that takes too long", "deadline"),
    ):
        rows.append(("It breaks" if _broken(runs, field) else "It keeps", what, each(field)))
    both, counter = _broken(runs, "current", "deadline"), _broken(runs, "counted")
    return table(
        ["", "Plain", *(f"After {name}.apply()" for name in PATCHES)],
        [[bold(f"{kind}: ") + what, *map(code, found)] for kind, what, found in rows],
        sentence=f"On Python {python_version()}, tasks and deadlines are broken by "
        f"{both or 'neither patch'}, the counter by {counter or 'neither patch'}.",
    )


def _costs(runs: Runs) -> list[str]:
    """Return the median seconds of each way, and what share of the plain ones they are."""
    plain = runs[""]
    said = [span(median(one["seconds"] for one in found)) for found in runs.values()]
    for at, name in enumerate(PATCHES, start=1):
        pairs = zip(plain, runs[name], strict=True)
        ratio = median(other["seconds"] / one["seconds"] for one, other in pairs)
        said[at] += f": {ratio:.2f} times as long"
    return said


def _broken(runs: Runs, *fields: str) -> str:
    """Return the names of the patches under which one of these came out otherwise."""
    plain = runs[""][0]
    return " and ".join(
        name for name in PATCHES if any(runs[name][0][field] != plain[field] for field in fields)
    )
