"""Judges the tiny lab."""

from loopclinic.verdict import Reason


def judge(trial):
    reasons = []
    for file, line, seconds in trial.facts["stalls"]:
        reasons.append(
            Reason(
                "double sleeps on the loop.",
                conflict="blocking-sleep",
                measured=f"{seconds * 1000:.0f} ms",
                budget="40 ms",
                file=file,
                line=line,
                next_step="Await asyncio.sleep instead.",
                timed=True,
            )
        )
    number, answer = trial.facts["answer"]
    if answer != 2 * number:
        reasons.append(Reason(f"double({number}) gave {answer}."))
    return reasons


def praise(trial):
    return f"Doubled {trial.facts['answer'][0]} in {trial.seconds:.1f} s."
