"""Fix `count`.

1. It answers how many things there are. Nothing else.
2. It never sleeps on
   the loop.
3. It leaves nothing behind.
"""

from .stock import count

__all__ = ["count"]
