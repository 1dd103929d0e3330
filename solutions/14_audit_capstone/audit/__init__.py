"""Lab 14, solved: a driver that awaits, and one unit of work for all that an audit stores.

What an audit finds stays in memory until its answers are there. Then one transaction stores it all, and
only if the audit is still running: a cancel, an error or a killed worker leaves nothing to clean up, and
nothing holds a connection while a model is asked.
"""

from .processor import Processor, open_processor

__all__ = ["Processor", "open_processor"]
