"""Write notebooks as the repository keeps them, and docs/speaker-notes.md from them: `make format`."""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOTES = "docs/speaker-notes.md"
_ABOUT = """\
# Speaker's notes

What to say while teaching each notebook, and the minutes each part takes. The slides show the same notes in the
speaker's window (press S). `make format` writes this page from the notebooks' cell metadata (`speaker`): edit it there."""


def main(root: Path = ROOT) -> int:
    """Write those that JupyterLab has saved otherwise, and print their paths."""
    for folder in ("notebooks", "tests/lessons/toy/notebooks"):
        for path in sorted((root / folder).glob("*.ipynb")):
            before = path.read_text(encoding="utf-8")
            after = formatted(json.loads(before))
            if after != before:
                path.write_text(after, encoding="utf-8", newline="\n")
                print(path.relative_to(root))
    notes = speaker_notes(root / "notebooks")
    if notes != (root / NOTES).read_text("utf-8"):
        (root / NOTES).write_text(notes, encoding="utf-8", newline="\n")
        print(NOTES)
    return 0


def speaker_notes(folder: Path) -> str:
    """Return the page of all notes, by notebook and heading, in the order in which they are said."""
    lines = [_ABOUT]
    for path in sorted(folder.glob("*.ipynb")):
        heading = title = ""
        rows: list[str] = []
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            first = "".join(cell["source"][:1]).strip()
            if cell["cell_type"] == "markdown" and first.startswith("#"):
                heading = first.lstrip("# ")
                title = title or heading
            if spoken := cell["metadata"].get("speaker"):
                rows.append(f"| {spoken['minutes']} | {heading} | {spoken['notes']} |")
        lines += [f"\n## [{title}](../notebooks/{path.name})\n", "| minutes | at | notes |"]
        lines += ["| --- | --- | --- |", *rows]
    return "\n".join(lines) + "\n"


def formatted(notebook: dict[str, Any]) -> str:
    """Return the text of a notebook: keys in order, nothing that a run or an editor left."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook["metadata"] = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        kept, has = ("slideshow", "speaker", "tags"), cell["metadata"]
        cell["metadata"] = {name: has[name] for name in kept if name in has}
        if isinstance(cell["source"], str):
            cell["source"] = cell["source"].splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.exit(main())
