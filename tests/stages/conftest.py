"""Stages can be tested before the directory of accounts exists: then a stand-in with its interface takes its place."""

import importlib.util
import sys
from types import ModuleType

if importlib.util.find_spec("engine.directory") is None:
    module = ModuleType("engine.directory")
    module.Directory = type("Directory", (), {})
    sys.modules["engine.directory"] = module
