"""Print the lessons whose verdicts recent commits may have changed, as pytest's -k takes them: "01- or 04-".

Recent are the commits since CI_BASE; without it those of the day before HEAD, and never fewer than ten.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from loopclinic.lessons import lessons

ROOT = Path(__file__).resolve().parents[1]
ALL = (
    "src/loopclinic/checks/",
    "src/loopclinic/lessons/core/",
    "src/loopclinic/lessons/schedules/",
)
"""What every verdict rests on."""
FEWEST = 10


def main() -> int:
    """Print it; nothing where no lesson was touched."""
    print(" or ".join(f"{number}-" for number in touched(changed())))
    return 0


def git(*arguments: str) -> str:
    """Return what a command of git prints; nothing if it fails."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout


def changed() -> set[str]:
    """Return the paths of files that recent commits have changed."""
    base = os.environ.get("CI_BASE", "")
    if base and git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}"):
        chosen = [f"{base}..HEAD"]
    else:
        day = int(git("log", "-1", "--format=%ct")) - 24 * 3600
        count = int(git("rev-list", "--count", f"--since={day}", "HEAD"))
        chosen = ["-n", str(max(count, FEWEST)), "HEAD"]
    return set(git("log", "--name-only", "--format=", *chosen).splitlines()) - {""}


def touched(paths: Iterable[str]) -> list[str]:
    """Return the numbers of the lessons that these files belong to."""
    paths = list(paths)
    shipped = {one.number: one.shipped for one in lessons() if one.shipped is not None}
    known = {number: lab.stem.partition("_")[2] for number, lab in shipped.items()}
    if any(path.startswith(ALL) for path in paths):
        return list(known)
    found = []
    for number, name in known.items():
        parts = (f"/lessons/{name}/", f"/{number}_", f"/{number}/")
        if any(part in f"/{path}" for path in paths for part in parts):
            found.append(number)
    return found


if __name__ == "__main__":
    sys.exit(main())
