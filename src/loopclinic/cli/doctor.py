"""`loopclinic doctor`: what works on this computer, and what to do about what does not."""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from loopclinic.cli.examinations import DEEP, EXAMINATIONS, Finding

__all__ = ["configure", "examine", "run"]

MARKS = {"ok": "ok  ", "note": "note", "to-do": "TO DO"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--deep", action="store_true", help="also start JupyterLab (some seconds)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 if one of them asks for a repair."""
    began = time.perf_counter()
    found = examine(deep=args.deep)
    healthy = all(one.state != "to-do" for one in found)
    if args.json:
        print(
            json.dumps({"healthy": healthy, "findings": [asdict(one) for one in found]}, indent=2)
        )
        return 0 if healthy else 1
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{MARKS[one.state]:5}  {one.name:{width}}  {one.detail}")
        if one.repair:
            print(f"{'':5}  {'':{width}}  -> {one.repair}")
    many = sum(one.state == "to-do" for one in found)
    verdict = "All is well" if healthy else f"{many} to do"
    print(f"\n{verdict} ({time.perf_counter() - began:.1f} s).")
    return 0 if healthy else 1


def examine(*, deep: bool = False) -> list[Finding]:
    """Return what each examination found, in their order; they run side by side."""
    chosen = {**EXAMINATIONS, **(DEEP if deep else {})}
    with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
        futures = {name: pool.submit(examination) for name, examination in chosen.items()}
        found = []
        for name, future in futures.items():
            try:
                found.append(future.result())
            except Exception as error:
                found.append(
                    Finding(
                        name,
                        "to-do",
                        f"the examination itself failed: {type(error).__name__}: {error}",
                        "make setup, then try again; if it stays, report it with this line.",
                    )
                )
    return found
