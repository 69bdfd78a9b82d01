"""The shape of the code: no circles of imports, even for types alone, and no function that one must scroll through."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOPS = ("engine", "stages")

LONGEST = 50
"""Lines of a function, with its signature and docstring; half of all functions have six or less."""


def named() -> dict[str, Path]:
    """The modules of the engine and the stages."""
    found = {}
    for path in (path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = named()


def imported(module: str) -> Iterator[str]:
    """The modules of ours that a module imports, wherever in it, and whether or not it is run."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield from (name for name in (whole if whole in MODULES else node.module,) if name in MODULES)


def test_every_file_opens_by_saying_in_one_line_what_it_is() -> None:
    found = []
    for path in (path for top in (*TOPS, "filters", "tests") for path in sorted((ROOT / top).rglob("*.py"))):
        first, _, rest = path.read_text().partition("\n")
        if first and not (first.startswith(('"""', 'r"""')) and (first.endswith('"""') or rest.startswith("\n"))):
            found.append(str(path.relative_to(ROOT)))
    assert found == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    # CycleError names the circle.
    list(TopologicalSorter({module: set(imported(module)) - {module} for module in MODULES}).static_order())


def test_no_function_is_long() -> None:
    long = {}
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}
