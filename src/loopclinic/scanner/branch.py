"""What a branch adds: the findings of a tree that its base does not have."""

import io
import subprocess
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

from loopclinic.scanner.baseline import Baseline
from loopclinic.scanner.options import Settings
from loopclinic.scanner.scan_report import Report
from loopclinic.scanner.scanning import scan_path


class BranchError(ValueError):
    """The base can't be had; the message says why."""


def added(report: Report, base: str, settings: Settings, *, jobs: int | None = None) -> Report:
    """Return a report without the findings that the place where its branch left `base` has as well.

    A finding is the same if file, function, kind and line of code are; so a new caller of old code counts.
    A file that could not be read there either is no fault of the branch.

    Raises:
        BranchError: it is no Git repository, or has no such base.
    """
    root = Path(report.root)
    folder = root if root.is_dir() else root.parent
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip())
    fork = _git(folder, "merge-base", base, "HEAD").decode().strip()
    inside = folder.relative_to(top.resolve())
    with tempfile.TemporaryDirectory() as room:
        there = Path(room, "base")
        data = _git(top, "archive", "--format=tar", fork, "--", inside.as_posix(), missing=b"")
        if data:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                archive.extractall(there, filter="data")
        old = there / inside / (root.name if root.is_file() else "")
        if not old.exists():
            return report
        whole = replace(settings, baseline="", min_confidence="", min_weight="")
        before = scan_path(old, whole, jobs=jobs)
    found, known = Baseline.of(before.findings).without(report.findings)
    skipped = {one.file for one in report.skipped} & {one.file for one in before.skipped}
    unread = sum(
        (folder / file).is_file() for file in skipped
    )  # the others are not counted as files
    counts = {**report.counts, "in_base": known, "unread_in_base": unread}
    return replace(report, findings=tuple(found), counts=counts)


def _git(folder: Path, *words: str, missing: bytes | None = None) -> bytes:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, check=False)
    except OSError as error:
        raise BranchError(f"--diff needs git: {error.strerror}.") from error
    if done.returncode:
        if missing is not None:
            return missing
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BranchError(f"--diff: git {' '.join(words)}: {said[-1] if said else 'failed'}.")
    return done.stdout
