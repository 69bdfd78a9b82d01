"""The facts that our stages leave are those that they declare, and a page names them."""

import ast
import inspect
import pkgutil
import re

import pytest
from doc_pages import ROOT

import stages
from engine.config.advice import ALWAYS_THERE
from engine.stage import load_stage

PAGES = "".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
OWN = sorted(module.name for module in pkgutil.iter_modules(stages.__path__))
DECLARED = {name: spec.leaves for name in OWN if (spec := load_stage(name, "", ROOT)).leaves is not None}


def test_stages_say_what_they_leave() -> None:
    assert {"authenticate", "scan", "resolve", "sign", "tenant", "lists"} <= DECLARED.keys()


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_page_names_every_fact(name: str) -> None:
    for fact in DECLARED[name] or ():
        assert re.search(rf"`{re.escape(fact)}", PAGES), fact


@pytest.mark.parametrize("name", OWN)
def test_what_is_written_out_in_the_code_is_declared(name: str) -> None:
    source = ast.parse(inspect.getsource(inspect.getmodule(load_stage(name, "", ROOT).target)))
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    written = {
        constant.value
        for call in calls
        if call.func.attr in ("with_fact", "with_facts") and call.args
        for constant in (
            [call.args[0]] if isinstance(call.args[0], ast.Constant) else getattr(call.args[0], "keys", [])
        )
        if isinstance(constant, ast.Constant)
    }
    declared = (*(DECLARED.get(name) or ()), *ALWAYS_THERE)
    for fact in written:
        assert any(fact == one or (one.endswith(".") and fact.startswith(one)) for one in declared), fact
