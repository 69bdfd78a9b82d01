"""The optional compiled wheel: with POSTROAD_COMPILE=1, mypyc compiles the modules that pyproject.toml lists."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WANTED = os.environ.get("POSTROAD_COMPILE") == "1"


class CompiledModules(BuildHookInterface):  # type: ignore[type-arg]
    """Puts machine code beside the source of each listed module; Python prefers it, and tracebacks show the source."""

    def dependencies(self) -> list[str]:
        return ["mypy[mypyc]>=1.18"] if WANTED else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not WANTED or version == "editable":  # machine code beside files that are edited would hide the edits
            return
        self._folder = tempfile.TemporaryDirectory(prefix="postroad-compiled-")
        folder = Path(self._folder.name)
        for package in ("engine", "stages"):
            source = Path(self.root) / package
            shutil.copytree(source, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        # Not where pyproject.toml is: setuptools, which runs the C compiler, would take the project for its own.
        command = [sys.executable, "-m", "mypyc", "--ignore-missing-imports", *self.config["modules"]]
        subprocess.run(command, cwd=folder, env={**os.environ, "MYPYC_OPT_LEVEL": "2"}, stdout=sys.stderr, check=True)
        shutil.rmtree(folder / "build")
        for library in sorted(folder.rglob("*.so")):
            build_data["force_include"][str(library)] = str(library.relative_to(folder))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        if hasattr(self, "_folder"):
            self._folder.cleanup()
