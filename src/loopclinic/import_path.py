"""Imports a file or a package from its path, independent of `sys.path`."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def imported(place: Path, name: str) -> ModuleType:
    """Import a file, or the package that a folder is, as the module `name`, and return it.

    What it raises passes through, and then there is no such module.
    """
    whole = place.is_dir()  # loopclinic: ignore[blocking-file-io] an import reads more than that
    entry = place / "__init__.py" if whole else place
    inside = [str(place)] if whole else None
    spec = spec_from_file_location(name, entry, submodule_search_locations=inside)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} can't be imported: name a .py file, or a package's folder.")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
