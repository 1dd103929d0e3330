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
    parser.add_argument(
        "--workshop",
        action="store_true",
        help="all of it, and each lesson's check on its solution: one line each, about two minutes",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 if one of them asks for a repair."""
    if args.workshop:
        return _rehearse(as_json=args.json)
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


def _rehearse(*, as_json: bool) -> int:
    """Print each line when it is known; return 1 if one asks for a repair."""
    from loopclinic.cli.workshop import PATIENCE, rehearse  # noqa: PLC0415 - only this one wants it

    began = time.perf_counter()
    timed = []
    for one, seconds in rehearse():
        timed.append((one, seconds))
        if not as_json:
            print(f"{MARKS[one.state]:5} {seconds:5.1f} s  {one.name:18}  {one.detail}", flush=True)
            if one.repair:
                print(f"{'':15}{'':18}  -> {one.repair}", flush=True)
    whole = time.perf_counter() - began
    many = sum(one.state == "to-do" for one, _ in timed)
    if as_json:
        rows = [{**asdict(one), "seconds": round(seconds, 2)} for one, seconds in timed]
        print(json.dumps({"healthy": not many, "findings": rows}, indent=2))
        return 1 if many else 0
    print(f"\n{f'{many} to do' if many else 'Ready for the workshop'} ({whole:.0f} s).")
    if whole > PATIENCE:
        print(f"That is long: over {PATIENCE:.0f} s. Expect checks to take their full 15 s here.")
    return 1 if many else 0


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
