"""Updates a git clone of the kit without touching what a learner wrote.

Every file changed here is copied to the state folder first. After the update a lab is put back as
the learner left it; any other file (a notebook full of outputs) is put back unless the kit has a
newer one, in which case the newer one stays and the copy is named.
"""

import shutil
import subprocess
from pathlib import Path

from loopclinic.cli.laid_out_kit import UpdateError, kept_folder, newer_lab, put_back


class Clone:
    """The learner's clone, through git."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if shutil.which("git") is None:
            raise UpdateError("git is missing: install it, or download the kit anew.")
        if not (root / ".git").exists():
            raise UpdateError(f"{root} is no git clone: download the kit anew beside it.")

    def git(self, *arguments: str) -> str:
        """Return what git prints."""
        done = subprocess.run(
            ["git", "-C", str(self.root), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise UpdateError(f"git {arguments[0]} failed: {' '.join(said[-3:])}")
        return done.stdout

    def paths(self, *arguments: str) -> set[str]:
        """Return the paths that a git command prints with `-z`."""
        return {path for path in self.git(*arguments).split("\0") if path}

    def upstream(self) -> str:
        """Return the commit to update to."""
        try:
            self.git("fetch", "--quiet")
        except UpdateError as error:
            raise UpdateError(f"Nothing was changed. {error}. Is this computer online?") from error
        try:
            return self.git("rev-parse", "@{upstream}").strip()
        except UpdateError as error:
            branch = self.git("rev-parse", "--abbrev-ref", "HEAD").strip()
            step = "git branch --set-upstream-to=origin/main"
            raise UpdateError(f"Branch {branch} follows no other: {step}") from error


def update(root: Path) -> None:
    """Set edited files aside, move the clone forward, put them back; UpdateError if it can't go on."""
    clone = Clone(root)
    new, old = clone.upstream(), clone.git("rev-parse", "HEAD").strip()
    ahead = clone.git("rev-list", "--count", f"{new}..{old}").strip()
    behind = clone.git("rev-list", "--count", f"{old}..{new}").strip()
    if behind == "0":
        print("The kit is up to date.")
        return
    if ahead != "0":
        step = "bring them along with git pull --rebase"
        raise UpdateError(f"You have {ahead} commits of your own here: {step}")
    changed = clone.paths("diff", "--name-only", "-z", "--no-renames", old, new)
    edited = clone.paths("diff", "--name-only", "-z", "--no-renames", "HEAD")
    strangers = clone.paths("ls-files", "--others", "-z") & changed
    mine = sorted(path for path in edited | strangers if (clone.root / path).is_file())
    kept = kept_folder()
    for path in mine:
        put_back(clone.root, kept, path)
    try:
        if edited:
            clone.git("reset", "--quiet", "--", *sorted(edited))
            tracked = clone.paths("ls-files", "-z") & edited
            if tracked:
                clone.git("checkout", "--quiet", "HEAD", "--", *sorted(tracked))
        for path in set(strangers) | (set(mine) - clone.paths("ls-files", "-z")):
            (clone.root / path).unlink(missing_ok=True)
        clone.git("merge", "--quiet", "--ff-only", new)
    except BaseException:
        for path in mine:
            put_back(kept, clone.root, path)
        raise
    print(f"The kit moved forward by {behind} commits.")
    for path in mine:
        newer = path in changed and (clone.root / path).is_file()
        stays = newer_lab(path) if newer else f"{path}: yours stays"
        if stays:
            put_back(kept, clone.root, path)
        print(stays or f"{path}: the new one stands; yours is kept as {kept / path}")
