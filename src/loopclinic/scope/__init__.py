"""The scope: shows a probe's figures live, also while the loop it measures is stuck.

The widget is imported on first use: a process that only records what a scope shows needs none of it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopclinic.scope.widget import Scope as Scope

__all__ = ["Scope"]


def __getattr__(name: str) -> Any:
    if name != "Scope":
        raise AttributeError(f"module 'loopclinic.scope' has no attribute {name!r}")
    from loopclinic.scope.widget import Scope  # see above

    return Scope
