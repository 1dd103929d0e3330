"""Write the files of a new lesson: `python scripts/new_lesson.py 15 slow_supplier`.

They are those of the lesson in tests/lessons/toy, under the new number and name: a whole lesson, whose
check passes its solution and fails its half-fixes. CONTRIBUTING.md says in which order to change them.
`--remove` takes a lesson out again: its own files, and it lists the lines of others that name it.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "tests/lessons/toy"
_NUMBER, _STEM = "99", "toy"


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write the files and print their paths; return 2 if the number or the name is no use."""
    parser = argparse.ArgumentParser(prog="new_lesson.py", description=__doc__.partition("\n")[0])
    parser.add_argument("number", help="two digits, such as 05")
    parser.add_argument("stem", help="the package's name, such as slow_supplier")
    parser.add_argument("--remove", action="store_true", help="delete the files of this lesson")
    chosen = parser.parse_args(arguments)
    number, stem = chosen.number, chosen.stem
    if not re.fullmatch(r"\d\d", number):
        parser.error(f"{number!r} is not two digits, such as 05")
    if not re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", stem):
        parser.error(f"{stem!r} is not lower case with underscores, such as slow_supplier")
    package = root / "src/loopclinic/lessons" / stem
    if chosen.remove:
        if not (root / f"notebooks/{number}_{stem}.ipynb").exists():
            parser.error(f"notebooks/{number}_{stem}.ipynb is not there: no such lesson")
        remove(number, stem, root)
        return 0
    for taken in (*sorted((root / "notebooks").glob(f"{number}_*")), package):
        if taken.exists():
            parser.error(f"{taken.relative_to(root)} is there: choose another number and name")
    for path, text in files(number, stem).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8", newline="\n")
        print(path)
    return 0


def remove(number: str, stem: str, root: Path) -> None:
    """Delete a lesson's own files and folders, and print where others still name it."""
    name, tests = f"{number}_{stem}", root / "tests/labs"
    listed = rf"\b\d\d, {number}\b|\b{number}, \d\d\b"
    named = re.compile(rf"\b{name}\b|\"{number}\"|^\| {number} \| `|{listed}")
    rooms = [folder / name for folder in (root / "labs", root / "solutions")]
    own = (
        *(one for room in rooms for one in (room, room.with_suffix(".py"))),
        root / f"notebooks/{name}.ipynb",
        root / "src/loopclinic/lessons" / stem,
        tests / "fixes" / number,
        tests / "records" / number,
    )
    for path in own:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        else:
            continue
        print(f"removed {path.relative_to(root)}")
    for path in filter(Path.exists, map(root.joinpath, NAMED_IN)):
        for line, text in enumerate(path.read_text("utf-8").splitlines(), 1):
            if named.search(text):
                print(f"take it out of {path.relative_to(root)}:{line}: {text.strip()[:90]}")
    print("make format takes it out of docs/speaker-notes.md; then git status says what is left.")


NAMED_IN = (
    *("README.md", "docs/facilitating.md", "src/loopclinic/conflicts.py"),
    *("src/loopclinic/recall/cards.toml", "src/loopclinic/recall/cards.py"),
    "tests/recall/test_cards.py",
)
"""Files that several lessons share, and that a lesson is written into by hand."""


def files(number: str, stem: str) -> dict[str, str]:
    """Return the text of each file of the lesson, by its path."""
    names = {_NUMBER: number, _STEM: stem, f"{_NUMBER}_{_STEM}": f"{number}_{stem}"}

    def renamed(text: str) -> str:
        return re.sub(rf"\b({'|'.join(names)})\b", lambda found: names[found[0]], text)

    found = {
        renamed(file.relative_to(TEMPLATE).as_posix()): renamed(file.read_text(encoding="utf-8"))
        for file in sorted(TEMPLATE.rglob("*"))
        if file.suffix in {".py", ".ipynb"}
    }
    name = f"{number}_{stem}.py"
    return found | {f"labs/{name}": found[f"src/loopclinic/lessons/{stem}/shipped/{name}"]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
