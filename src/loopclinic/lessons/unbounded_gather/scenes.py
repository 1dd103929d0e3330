"""Everything that the notebook shows, under one name."""

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.prediction import Prediction
from loopclinic.lessons.unbounded_gather.charts import answers
from loopclinic.lessons.unbounded_gather.crowd import crowd
from loopclinic.lessons.unbounded_gather.diagnosis import diagnose
from loopclinic.lessons.unbounded_gather.failure import one_failure
from loopclinic.lessons.unbounded_gather.knee import KneeFinder
from loopclinic.lessons.unbounded_gather.race import race
from loopclinic.lessons.unbounded_gather.service import Run, publish_here
from loopclinic.lessons.unbounded_gather.storm import retry_storm
from loopclinic.lessons.unbounded_gather.sweep import sweep
from loopclinic.lessons.unbounded_gather.workforce import workforce

__all__ = [
    "KneeFinder",
    "Prediction",
    "crowd",
    "diagnose",
    "one_failure",
    "publish_here",
    "race",
    "retry_storm",
    "side_by_side",
    "sweep",
    "workforce",
]


def side_by_side(*runs: Run) -> Drawing:
    """Draw what the service answered in each run, on one scale, with the peak in flight."""
    return answers(*((f"{run} {run.peak} in flight at most.", run.timeline) for run in runs))
