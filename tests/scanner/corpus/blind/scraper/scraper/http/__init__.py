"""Re-exports under shorter names."""

from .session import HttpSession as Session
from .session import fetch as get

__all__ = ["Session", "get"]
