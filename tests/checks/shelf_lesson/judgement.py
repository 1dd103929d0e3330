"""Judges the shelf lab."""

from loopclinic.verdict import Reason


def judge(trial):
    return [
        Reason(code, conflict="blocking-sleep", file=file, line=line, next_step="Await.")
        for file, line, code in trial.facts["stalls"]
    ]


def praise(trial):
    return f"{trial.facts['answer']} {trial.facts['modules']} {trial.facts['as_shipped']}"
