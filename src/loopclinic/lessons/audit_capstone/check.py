"""Check of lab 14: its ten functions, then the whole job with two workers, crowded, hung, cancelled, killed."""

from loopclinic.lessons.audit_capstone.check_cancelled import Cancelled
from loopclinic.lessons.audit_capstone.check_crowd import Crowd, Hanging
from loopclinic.lessons.audit_capstone.check_functions import Line
from loopclinic.lessons.audit_capstone.check_workers import Killed, Workers
from loopclinic.lessons.core import Check, Judged
from loopclinic.lessons.core.figures import Figure
from loopclinic.units import count, span


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    crowd = judged.expect(Crowd)
    share = Crowd().bound / crowd.seconds
    return (
        f"All ten functions let the loop go on. {Crowd.many} audits shared {count(crowd.peak, 'connection')} and took "
        f"{span(crowd.seconds)}, {share:.0%} of what the providers allow; cancelled, hung and killed, the job "
        f"left nothing and lost nothing."
    )


CHECK = Check(
    scenes=(Line(), Workers(), Crowd(), Hanging(), Cancelled(), Killed()),
    praise=praise,
    leaves_nothing=11,
    explains_tasks=(
        *("unclosed-resource", "dropped-task", "swallowed-cancellation"),
        # Of a `run` that hung, and was cancelled by the check.
        *(
            "missing-timeout",
            "pool-starvation",
        ),
    ),
)

FIGURES = (Figure("of_the_bound", "Thirty audits at once reach", "of the bound", 0.93),)
