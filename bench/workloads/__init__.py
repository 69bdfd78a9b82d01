"""The workloads: every module in this folder with a ``WORKLOAD``, in the order of their ``place``."""

import importlib
import pkgutil

from bench.workloads.base import Workload


def all_workloads() -> list[Workload]:
    """Every workload; a new module is found without being listed anywhere."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    found: list[Workload] = [module.WORKLOAD for module in modules if hasattr(module, "WORKLOAD")]
    return sorted(found, key=lambda workload: workload.place)
