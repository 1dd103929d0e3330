"""Parts that the lessons' notebooks share: benchmarks, sweeps, predictions, other tools' reports, demos.

Import from the modules: a worker process needs the race alone, and no widgets.
"""
