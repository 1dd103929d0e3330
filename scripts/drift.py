"""Check that the labs in labs/ equal the pristine copies that `loopclinic reset` restores.

Run by contributors and CI, where labs are unedited; a learner's labs differ, and should.
"""

import difflib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(root: Path = ROOT) -> int:
    """Print each difference; return 1 if there is one."""
    drifted = 0
    for shipped in sorted((root / "src/loopclinic/lessons").glob("*/shipped/**/*")):
        if not shipped.is_file() or "__pycache__" in shipped.parts:
            continue
        inside = shipped.relative_to(next(one for one in shipped.parents if one.name == "shipped"))
        lab = root / "labs" / inside
        if lab.is_file() and lab.read_bytes() == shipped.read_bytes():
            continue
        drifted += 1
        print(f"{lab.relative_to(root)} is not {shipped.relative_to(root)}: copy one to the other.")
        if lab.is_file():
            texts = [one.read_text("utf-8", "replace").splitlines(True) for one in (shipped, lab)]
            sys.stdout.writelines(difflib.unified_diff(texts[0], texts[1]))
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main())
