"""What changes and the audit log tell: every kind and every name has words, and so a translation."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from starlette.requests import Request

from engine.web.admin import audit, changes

ENGINE = Path(__file__).parents[2] / "engine"
ANYWHERE = {"peer"}
"""Told by a column of its own."""


class _Vietnamese(Request):
    def __init__(self) -> None:
        super().__init__({"type": "http", "headers": [(b"accept-language", b"vi")], "state": {}})


def calls(*names: str) -> Iterator[ast.Call]:
    for text in [path.read_text() for path in sorted(ENGINE.rglob("*.py"))]:
        if not any(f".{name}(" in text for name in names):
            continue  # to take a module apart takes long
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
                yield node


def first_text(node: ast.Call) -> str:
    return node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) and node.keywords else ""


@cache
def told() -> dict[str, set[str]]:
    """Kinds of changes, with the names of what is said of them."""
    found: dict[str, set[str]] = {}
    for node in calls("tell", "told"):
        if isinstance(kind := first_text(node), str) and kind:
            found.setdefault(kind, set()).update(keyword.arg for keyword in node.keywords if keyword.arg)
    return found


def test_there_are_changes() -> None:
    assert {"account-added", "ban-set", "migration-ended", "parked-decided"} <= told().keys()


def test_every_kind_of_change_has_words() -> None:
    assert told().keys() - changes.kinds(_Vietnamese()).keys() == set()


def test_every_name_in_a_change_has_words() -> None:
    names = set().union(*told().values())
    assert names - changes.fields(_Vietnamese()).keys() - ANYWHERE == set()


def test_every_name_in_the_audit_log_has_words() -> None:
    """Those in the tables that are written as details, and in the words that write an entry."""
    names = set()
    for path in [*(ENGINE / "oversight").glob("*.py"), ENGINE / "operations/oversight.py",
                 ENGINE / "operations/holding.py", ENGINE / "web/admin/auditing.py"]:  # fmt: skip
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == "details"
                                                    for one in node.targets):  # fmt: skip
                names |= {key.value for one in ast.walk(node) if isinstance(one, ast.Dict) for key in one.keys
                          if isinstance(key, ast.Constant)}  # fmt: skip
    assert {"grant", "reason", "manifest_sha256"} <= names
    assert names - audit._fields(_Vietnamese()).keys() - {"about"} == set()
