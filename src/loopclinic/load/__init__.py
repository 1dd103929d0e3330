"""Open-loop load: requests on a schedule, their figures, and comparisons of variants.

Imports nothing: the load generator's process, which needs little of it, has to start fast.
"""
