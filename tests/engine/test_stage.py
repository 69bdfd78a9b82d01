"""The stage contract: how a stage is found, and what its code says about it."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine import Duration, Size
from engine.directory import Directory
from engine.mailbox import Posting, Quotas
from engine.return_path import ReturnPaths
from engine.stage import Spec, StageError, load_stage


def write(folder: Path, code: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text("from engine import *\n" + code)
    return path


def load(folder: Path, code: str, use: str = "mine.py", name: str = "mine") -> Spec:
    write(folder, code)
    return load_stage(name, use, folder)


PLAIN = "async def mine(message: Message) -> Verdict:\n    return message\n"


@pytest.mark.parametrize(
    ("code", "use", "name"),
    [
        (PLAIN, "mine.py", "mine"),
        (PLAIN, "mine.py:mine", "other"),
        (PLAIN, "mine.py", "other"),  # by the file's own name
        ("class Mine:\n    async def __call__(self, message): ...\n", "mine.py", "mine"),
        ("class TwoWords:\n    async def __call__(self, message): ...\n", "mine.py", "two_words"),
    ],
)
def test_a_stage_is_found_by_its_name_or_its_file_s(tmp_path: Path, code: str, use: str, name: str) -> None:
    spec = load(tmp_path, code, use, name)
    assert (spec.name, spec.use) == (name, use)
    assert callable(spec.target)


def test_a_name_that_is_only_imported_is_not_the_stage_where_the_file_has_one(tmp_path: Path) -> None:
    code = "from shutil import copy\nclass Copy:\n    async def __call__(self, message): ...\n"
    assert load(tmp_path, code, name="copy").target.__name__ == "Copy"


def test_our_own_stages_need_no_use() -> None:
    spec = load_stage("route", "", Path())
    assert spec.use == "stages.route"
    assert spec.services == {"directory": Directory, "returns": ReturnPaths, "quotas": Quotas, "posting": Posting}
    assert spec.tables == {"route": "rules"}
    assert spec.hooks == ("at_recipient",)


def test_the_filters_of_the_example_load() -> None:
    for path in (Path(__file__).parents[2] / "filters").glob("*.py"):
        assert load_stage(path.stem, path.name, path.parent).target


def test_parameters_say_what_is_a_service_and_what_a_setting(tmp_path: Path) -> None:
    spec = load(
        tmp_path,
        "from engine.directory import Directory\n"
        "async def mine(m: Message, people: Directory, *, limit: Size = Size(5), wait: Duration) -> Verdict: ...\n",
    )
    assert spec.services == {"people": Directory}
    assert spec.settings == {"limit": Size, "wait": Duration}
    assert spec.required == {"wait"}


def test_annotations_may_be_texts(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import KW_ONLY, dataclass\n"
        "from engine import Message, Size, Verdict\n"
        "@dataclass\nclass Mine:\n    _: KW_ONLY\n    limit: Size\n"
        "    async def __call__(self, message: Message) -> Verdict: ...\n"
    )
    assert load_stage("mine", "mine.py", tmp_path).settings == {"limit": Size}


def test_a_filter_imports_only_the_names_that_it_uses(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from engine import Message, Verdict\n" + PLAIN)
    assert load_stage("mine", "mine.py", tmp_path).settings == {}


CLASS = "class Mine:\n    {}\n    async def __call__(self, message: Message) -> Verdict: ...\n"

TRAITS: list[tuple[str, dict[str, Any]]] = [
    (PLAIN, {"synchronous": False, "effect": False, "source": False, "partition": "", "home": "", "hooks": ()}),
    ("def mine(message: Message) -> Verdict: ...\n", {"synchronous": True}),
    ("class Mine:\n    def __call__(self, message): ...\n", {"synchronous": True}),
    ("class Mine:\n    listens = ['smtp']\n    def serve(self): ...\n", {"source": True, "listens": ("smtp",)}),
    (CLASS.format("effect = True"), {"effect": True, "synchronous": False}),
    (CLASS.format("partition = 'site'"), {"partition": "site"}),
    (CLASS.format("home = 'mailboxes'"), {"home": "mailboxes"}),
    (
        CLASS.format("def at_sender(self, session, sender): ...\n    def at_connect(self, session): ..."),
        {"hooks": ("at_connect", "at_sender")},
    ),
    (
        "class Base:\n    async def __call__(self, message): ...\nclass Mine(Base): ...\n",
        {"synchronous": False, "settings": {}},
    ),
]


@pytest.mark.parametrize(("code", "traits"), TRAITS)
def test_the_code_says_what_kind_of_stage_it_is(tmp_path: Path, code: str, traits: dict[str, Any]) -> None:
    spec = load(tmp_path, code)
    assert {name: getattr(spec, name) for name in traits} == traits


WRONG = [
    ("x = 1\n", "has no function or class named mine or Mine"),
    ("mine = 5\n", "has no function or class named"),
    ("async def mine() -> Verdict: ...\n", "must take the message as its first parameter"),
    ("async def mine(*, limit: int) -> Verdict: ...\n", "must take the message as its first parameter"),
    ("async def mine(message, *rest: int) -> Verdict: ...\n", r"\*rest is no setting"),
    ("async def mine(message, **rest: int) -> Verdict: ...\n", r"\*rest is no setting"),
    ("async def mine(message, *, limit=3) -> Verdict: ...\n", "the parameter limit needs an annotation"),
    ("async def mine(message, *, limit: 'Nothing') -> Verdict: ...\n", "the parameters of mine.py cannot be read"),
    ("class Mine: ...\n", "cannot be called with a message; write `async def __call__`"),
    ("import nothing_here\n", r"does not load: ModuleNotFoundError: No module named 'nothing_here' \(line 2\)"),
    ("\n\ndef f():\n    1 / 0\nf()\n", r"does not load: ZeroDivisionError: division by zero \(line 5\)"),
    ("def f(:\n", r"does not load: SyntaxError: .*line 2"),
    ("raise SystemExit(3)\n", "does not load: SystemExit: 3"),
]


@pytest.mark.parametrize(("code", "text"), WRONG)
def test_what_is_no_stage_says_why(tmp_path: Path, code: str, text: str) -> None:
    with pytest.raises(StageError, match=text):
        load(tmp_path, code)


@pytest.mark.parametrize(
    ("use", "text"),
    [
        ("missing.py", "cannot read .*missing.py: No such file"),
        ("folder.py", "cannot read .*folder.py: Is a directory"),
        ("no_such_package.x", "there is no module no_such_package.x"),
        ("", "there is no module stages.mine"),
        ("email:nothing", "has no function or class named nothing"),
    ],
)
def test_what_is_not_there_says_what_was_looked_for(tmp_path: Path, use: str, text: str) -> None:
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(StageError, match=text):
        load_stage("mine", use, tmp_path)


def test_a_changed_file_is_loaded_anew_and_the_old_one_goes_on_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # else nothing could be mixed up
    code = "class Mine:\n    number = {}\n    async def __call__(self, message): ...\n"
    old = load(tmp_path, code.format(1))
    same = load_stage("mine", "mine.py", tmp_path)
    new = load(tmp_path, code.format(2))
    assert old.code == same.code != new.code
    assert (old.target.number, new.target.number) == (1, 2)  # type: ignore[attr-defined]


def test_code_that_was_replaced_is_let_go_and_code_that_does_not_load_replaces_nothing(tmp_path: Path) -> None:
    def loaded() -> list[ModuleType]:
        return [
            module for module in sys.modules.values() if getattr(module, "__file__", "") == str(tmp_path / "mine.py")
        ]

    load(tmp_path, PLAIN)
    target = load(tmp_path, PLAIN + "NEW = True\n").target
    assert [vars(module) for module in loaded()] == [target.__globals__]
    with pytest.raises(StageError):
        load(tmp_path, PLAIN + "undefined\n")
    assert [vars(module) for module in loaded()] == [target.__globals__]


def test_files_of_one_name_in_two_folders_are_two_stages(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in ("a", "b"):
        write(tmp_path / folder, f"async def mine(message: Message, *, {folder}: int = 1) -> Verdict: ...\n")
    found = [load_stage("mine", f"{folder}/mine.py", tmp_path).settings for folder in ("a", "b")]
    assert found == [{"a": int}, {"b": int}]
