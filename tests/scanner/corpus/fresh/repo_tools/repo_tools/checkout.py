import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Commit:
    sha: str
    subject: str


class Checkout:
    """A working copy on this machine."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def _git(self, *args: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.root), *args], capture_output=True, text=True, check=True
        )
        return done.stdout

    def history(self, limit: int = 20) -> list[Commit]:
        lines = self._git("log", f"-{limit}", "--format=%h %s").splitlines()
        return [Commit(*line.split(" ", 1)) for line in lines]

    def locate(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    @property
    def readme(self) -> str:
        for name in ("README.md", "README.rst"):
            if (self.root / name).exists():
                return (self.root / name).read_text(encoding="utf-8")
        return ""
