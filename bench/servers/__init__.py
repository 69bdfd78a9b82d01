"""The servers that can be measured: every module in this folder with a list ``SERVERS``, Postroad first."""

import importlib
import pkgutil

from bench.servers.base import Server


def all_servers() -> list[Server]:
    """Every server, whether it is installed here or not; a new module is found without being listed anywhere."""
    found: list[Server] = []
    for module in pkgutil.iter_modules(__path__):
        found += getattr(importlib.import_module(f"{__name__}.{module.name}"), "SERVERS", ())
    return sorted(found, key=lambda server: server.key != "postroad")
