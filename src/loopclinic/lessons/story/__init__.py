"""What notebooks show: charts, tables, races, sweeps, diagnoses, predictions, demos.

Import from the modules: a worker process needs the race alone, and no widgets.
"""
