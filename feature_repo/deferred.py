"""Modules that a library imports at its top and that we never reach: imported when something of them is first used.

Great Expectations imports a chart library and SciPy's statistics for one expectation that no suite of ours has; they
are a third of its import, which every ingest pays.
"""

import importlib
import sys
from types import ModuleType


class DeferredModule(ModuleType):
    """Stands for a module until an attribute is asked for."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # the import system asks for these; they are no use of the module
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def defer(*names: str) -> None:
    """Defer modules that were not imported yet. Their parents are imported, as `from scipy import stats` reads them."""
    for name in names:
        if name in sys.modules:
            continue
        module = sys.modules[name] = DeferredModule(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(importlib.import_module(parent), child, module)
