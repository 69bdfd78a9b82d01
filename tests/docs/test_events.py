"""docs/operating.md names every event in the code, with every field that it may have."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from doc_pages import ROOT, code, rows, sections

PAGE = ROOT / "docs" / "operating.md"
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


CALL = re.compile(r"\bevent(\.bug)?\(|\bby\.(tell|told)\(")


@cache
def calls() -> tuple[tuple[list[str], list[str]], ...]:
    """(names, fields) of every call that writes an event."""
    texts = [path.read_text() for top in ("engine", "stages") for path in sorted((ROOT / top).rglob("*.py"))]
    modules = [ast.parse(text) for text in texts if CALL.search(text)]  # to take one apart takes long
    functions = [node for module in modules for node in ast.walk(module) if isinstance(node, FUNCTION)]
    return tuple(found for function in functions for found in _calls(function))


def _calls(function: ast.AST) -> Iterator[tuple[list[str], list[str]]]:
    dicts = {
        target.id: _keys(node.value)
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name("event"):
                names = _texts(node.args[0])
                assert names, f"line {node.lineno}: an event whose name is not written out"
            case ast.Attribute(ast.Name("by"), "tell" | "told"):
                names = _texts(node.args[0])
                assert names, f"line {node.lineno}: an event whose name is not written out"
            case ast.Attribute(ast.Name("event"), "bug"):
                names = ["bug"]
            case _:
                continue
        fields = [keyword.arg for keyword in node.keywords if keyword.arg]
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("tell", "told"):
            fields.append("by")  # who has it done
        for keyword in node.keywords:
            if keyword.arg is None and isinstance(keyword.value, ast.Dict):
                fields += _keys(keyword.value)
            elif keyword.arg is None and isinstance(keyword.value, ast.Name):
                fields += dicts[keyword.value.id]
        yield names, fields


def _keys(node: ast.Dict) -> list[str]:
    return [key.value for key in node.keys if isinstance(key, ast.Constant)]


def _texts(node: ast.expr) -> list[str]:
    """The texts that an expression may be."""
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body), *_texts(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) else []


def written() -> dict[str, set[str]]:
    """Event → fields, as the page has them."""
    return {
        code(cells[0]): set(re.findall(r"`(\w+)`", cells[1]))
        for cells in rows(sections(PAGE)["Logs"])
        if code(cells[0])
    }


def in_code() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for names, fields in calls():
        for name in names:
            found[name] |= set(fields)
    found["bug"] |= {"where", "error", "traceback"}  # by Events.bug itself
    return found


def test_events_are_found() -> None:
    assert {"accepted", "put-off", "delivered", "bug"} <= in_code().keys()
    assert in_code()["delivered"] >= {"id", "to", "from", "way"}


def test_every_event_is_on_the_page_and_no_other() -> None:
    assert written().keys() == in_code().keys()


def test_every_field_is_on_the_page() -> None:
    """A field of a call that may write one of several events is in the row of at least one of them."""
    page = written()
    for names, fields in calls():
        told = set().union(*(page[name] for name in names))
        assert set(fields) <= told, f"{' or '.join(names)}: {set(fields) - told}"


def test_no_field_that_is_not_there() -> None:
    found = in_code()
    strange = {name: fields - found[name] for name, fields in written().items()}
    assert not {name: fields for name, fields in strange.items() if fields}
