"""Whether this is the compiled build, in which the modules that every message passes are machine code."""

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec


def is_compiled(module: str = "engine.wakeup") -> bool:
    """Whether ``module`` is compiled; without a name, one that the compiled build always has."""
    found = find_spec(module)
    return found is not None and (found.origin or "").endswith(tuple(EXTENSION_SUFFIXES))
