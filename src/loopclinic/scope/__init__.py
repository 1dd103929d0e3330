"""The scope: shows a probe live, also while the loop it measures is stuck."""

from loopclinic.scope.widget import Scope

__all__ = ["Scope"]
