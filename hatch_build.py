"""Hatchling's hook for wheels: they carry the notebooks, labs, solutions, data and docs, for `loopclinic init`."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("notebooks", "labs", "solutions", "data", "docs")


class KitFiles(BuildHookInterface):
    """Adds the kit's folders below `loopclinic/kit/`; an editable install finds them in the clone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files; hidden ones and bytecode are a learner's or a tool's."""
        if version != "standard":
            return
        root = Path(self.root)
        for folder in FOLDERS:
            for file in sorted((root / folder).rglob("*")):
                inside = file.relative_to(root)
                if file.is_file() and not any(
                    p.startswith((".", "__pycache__")) for p in inside.parts
                ):
                    build_data["force_include"][str(file)] = f"loopclinic/kit/{inside.as_posix()}"
