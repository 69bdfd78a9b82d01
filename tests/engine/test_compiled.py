"""The compiled build: all the listed modules or none, and `postroad --version` says which."""

import ast
import os
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.compiled import is_compiled

ROOT = Path(__file__).parents[2]
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
MODULES: list[str] = WHEEL["hooks"]["custom"]["modules"]
HARMLESS = {"len", "min", "max", "start", "end", "find"}
"""Calls that may be made twice."""

EXPECTED = os.environ.get("POSTROAD_COMPILED") == "1"
"""Set by `make test-compiled`: without it the tests could pass on the source by mistake."""


@pytest.mark.parametrize("path", MODULES)
def test_a_listed_module_is_compiled_in_the_compiled_build_alone(path: str) -> None:
    assert (ROOT / path).is_file()
    assert is_compiled(path.removesuffix(".py").replace("/", ".")) is EXPECTED


@pytest.mark.parametrize("module", ["engine.message", "engine.verdict", "stages.relay"])
def test_what_meets_stages_of_others_is_never_compiled(module: str) -> None:
    assert not is_compiled(module)


@pytest.mark.parametrize("path", MODULES)
def test_the_bounds_of_slices_only_compute(path: str) -> None:
    """`rest[send(rest) :]` of a memoryview sends twice when mypyc 2.4 has compiled it."""
    slices = [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Slice)]
    calls = [node for found in slices for node in ast.walk(found) if isinstance(node, ast.Call | ast.Await)]
    named = {ast.unparse(call.func).rpartition(".")[2] if isinstance(call, ast.Call) else "await" for call in calls}
    assert named <= HARMLESS


@pytest.mark.parametrize("path", MODULES)
def test_no_name_stands_for_two_kinds_of_errors(path: str) -> None:
    """The second one raises a TypeError where mypyc has compiled it: the name has the type of the first."""
    for function in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            handlers = [node for node in ast.walk(function) if isinstance(node, ast.ExceptHandler) and node.name]
            named = {(handler.name, ast.unparse(handler.type)) for handler in handlers if handler.type is not None}
            assert len(named) == len({name for name, _ in named}), f"{path}: {function.name}"


def test_the_version_says_so() -> None:
    said = CliRunner().invoke(main, ["--version"])
    assert said.exit_code == 0
    assert ("compiled" in said.output) is EXPECTED
