"""The arrows of the design: who may import whom, and that the engine names no stage."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FOREIGN = {"trio", "zmq", "lmdb", "outcome"}
"""What a part that only computes does not touch."""

# Each part of the engine, and the parts that it may import: only ones that stand before it in this table.
ARROWS: dict[str, set[str]] = {
    "protocols": set(),
    "mime": set(),
    "message": {"protocols", "mime"},
    "units": set(),
    "wording": {"protocols"},
    "delivery_status": {"protocols", "mime"},
    "feedback": {"protocols", "mime", "delivery_status"},
    "unsubscribe": {"protocols", "mime"},
    "verdict": {"message"},
    "observe": set(),
    "regex": set(),
    "sieve": {"protocols", "mime", "message", "regex"},
    "condition": {"message", "units"},
    "stage": set(),
    "lanes": set(),
    "wakeup": set(),
    "deadline": set(),
    "compiled": set(),
    "links": {"protocols", "message", "verdict", "observe", "wakeup"},
    "storage": {"observe", "wakeup"},
    "figures": {"observe", "storage"},
    "growth": {"storage"},
    "bounces": {"regex", "storage", "observe"},
    "history": {"message", "verdict", "storage", "observe"},
    "net": {"protocols", "observe"},
    "scanning": {"protocols", "mime", "message", "verdict", "units", "observe", "storage", "net"},
    "authentication": {"protocols", "message", "net", "units"},
    "admission": {"protocols", "message", "net", "authentication"},
    "acme": {"storage", "net", "observe"},
    "signing": {"storage", "net", "authentication"},
    "presence": {"protocols", "net", "authentication", "signing"},
    "policies": {"protocols", "message", "storage", "net", "observe"},
    "config": {"protocols", "condition", "lanes", "stage", "units", "wording", "regex", "bounces"},
    "revisions": {"lanes", "storage", "observe"},
    "drawing": {"message", "lanes", "config"},
    "reports": {
        "protocols", "message", "verdict", "observe", "storage", "net", "authentication", "policies", "config",
    },
    "directory": {"protocols", "storage", "units", "observe", "config"},
    "login": {"protocols", "units", "storage", "net", "observe", "config", "directory", "wakeup"},
    "spam": {
        "protocols", "mime", "message", "units", "storage", "observe", "wakeup", "authentication", "directory",
        "scanning",
    },
    "lists": {"storage", "directory"},
    "suppression": {"bounces", "observe", "config", "storage", "directory"},
    "webhooks": {"bounces", "message", "observe", "storage", "net", "scanning", "config"},
    "return_path": {"protocols", "message", "delivery_status", "config", "directory"},
    "abuse": {
        "wording", "protocols", "message", "verdict", "storage", "observe", "scanning", "config", "directory", "login",
    },
    "shaping": {
        "wording", "protocols", "message", "verdict", "units", "observe", "storage", "regex", "config", "bounces",
        "abuse",
    },
    "mailbox": {"wording", "protocols", "mime", "message", "storage", "net", "observe", "links", "directory",
        "login", "wakeup", "units", "verdict", "config"},
    "index": {"mime", "message", "storage", "observe", "links", "wakeup", "mailbox"},
    "imap": {
        "protocols", "mime", "net", "observe", "storage", "links", "directory", "login", "mailbox", "index", "spam",
    },
    "finding": {"protocols", "mime", "index", "imap", "mailbox"},
    "sorting": {
        "wording", "protocols", "message", "verdict", "units", "sieve", "links", "net", "observe", "config",
        "directory", "login", "mailbox",
    },
    "exchange": {"protocols", "message", "storage", "mailbox"},
    "migration": {"protocols", "net", "observe", "storage", "links", "directory", "mailbox", "exchange"},
    "oversight": {
        "mime", "message", "units", "observe", "wakeup", "storage", "config", "directory", "mailbox", "exchange",
    },
    "outbound": {"protocols", "message", "units", "verdict", "net", "wakeup", "deadline", "policies", "shaping",
        "history"},
    "egress": {
        "protocols", "message", "units", "verdict", "net", "observe", "config", "abuse", "shaping", "outbound",
    },
    "queue": {
        "wording", "protocols", "message", "units", "verdict", "observe", "storage", "config", "links", "wakeup",
        "condition",
        "history",
    },
    "traces": {"message", "observe", "config", "history"},
    "quarantine": {
        "wording", "protocols", "mime", "message", "units", "verdict", "observe", "storage", "config", "directory",
        "queue",
    },
    "runtime": {
        "oversight", "wording",
        "protocols",
        "message", "units", "verdict", "observe", "condition", "stage", "lanes", "storage", "net", "config", "links",
        "directory", "login", "return_path", "mailbox", "imap", "index", "sieve", "sorting", "queue", "wakeup",
        "deadline", "acme", "reports", "signing", "scanning", "abuse", "quarantine", "lists", "spam", "policies",
        "egress", "bounces", "suppression", "webhooks", "shaping", "outbound", "revisions", "history",
        "traces", "figures",
    },
    "rehearsal": {
        "mime", "message", "verdict", "observe", "lanes", "storage", "net", "config", "links", "mailbox", "exchange",
        "queue", "quarantine", "wakeup", "stage", "runtime",
    },
    "operations": {
        "protocols", "message", "mime", "condition", "units", "observe", "storage", "net", "config", "links", "lanes",
        "reports", "presence", "authentication", "bounces", "directory", "login", "spam", "lists", "suppression",
        "signing", "mailbox", "exchange", "queue", "quarantine", "runtime", "history", "revisions", "rehearsal",
        "shaping", "abuse", "traces", "migration", "oversight", "figures", "growth", "finding", "index",
    },
    "watching": {"observe", "links", "drawing", "runtime"},
    "cli": {
        "oversight",
        "condition", "drawing", "watching",
        "abuse", "acme", "authentication", "compiled", "message", "units", "observe", "storage", "net", "config",
        "links", "lanes", "directory", "login", "mailbox", "index", "exchange", "queue", "reports", "runtime",
        "scanning", "signing", "presence", "sieve", "sorting", "spam", "mime", "quarantine", "lists", "policies",
        "outbound", "deadline", "protocols", "verdict", "wording", "delivery_status", "egress", "bounces",
        "suppression", "webhooks", "shaping", "revisions", "operations", "history", "traces",
        "rehearsal", "stage", "migration", "figures", "growth", "finding",
    },
    "web": {
        "abuse", "condition", "config", "directory", "drawing", "exchange", "figures", "finding", "growth",
        "history", "imap", "index", "links", "lists", "login", "mailbox", "message", "migration", "mime",
        "net", "observe", "operations", "oversight", "policies", "protocols", "quarantine", "queue", "reports",
        "revisions", "runtime", "scanning", "shaping", "sieve", "signing", "spam", "storage", "suppression",
        "units", "unsubscribe", "wakeup", "watching", "wording",
    },
    "__main__": {"cli"},
}  # fmt: skip

# The names that a stage's author imports, which `engine` itself gives.
FACE = {"message", "protocols", "units", "verdict"}

ORDINARY: dict[tuple[str, str], str] = {
    ("engine/protocols/smtp_server.py", "accept"): "the name of a reply in the table of states",
    ("engine/config/listeners.py", "lmtp"): "a listener",
    ("engine/cli/__init__.py", "greylist"): "a command",
    ("engine/outbound/session.py", "command"): "what is waited for",
    ("engine/shaping/shape.py", "command"): "a phase of a dialogue",
    ("engine/scanning/mta_hooks.py", "accept"): "what a hook may answer",
    ("engine/sieve/compiler.py", "command"): "a kind of word in a script",
    ("engine/cli/__init__.py", "lists"): "a command",
    ("engine/config/reading.py", "tenant"): "a table",
    ("engine/operations/certificates.py", "lmtp"): "a listener",
    ("engine/web/admin/suppression.py", "tenant"): "a field of a form",
    ("engine/web/admin/changes.py", "tenant"): "a value of an event",
    ("engine/config/tables.py", "tenant"): "a table",
    ("engine/config/tenants.py", "tenant"): "a table",
    ("engine/cli/bounces.py", "tenant"): "whose mail it was",
    ("engine/cli/shaping_actions.py", "tenant"): "whose mail it is about",
    ("engine/cli/suppression.py", "tenant"): "whose list it is",
    ("engine/config/automation.py", "tenant"): "whose mail is acted on",
    ("engine/shaping/automation.py", "tenant"): "whose mail is acted on",
    ("engine/shaping/telling.py", "tenant"): "whose mail is acted on",
    ("engine/suppression/entries.py", "tenant"): "whose list it is",
    ("engine/operations/suppressions.py", "tenant"): "whose list it is",
    ("engine/runtime/trail.py", "command"): "what has changed it",
    ("engine/queue/search.py", "tenant"): "whose mail it is",
    ("engine/queue/groups.py", "tenant"): "whose mail it is",
    ("engine/queue/briefs.py", "tenant"): "whose mail it is",
    ("engine/cli/queue_showing.py", "tenant"): "whose mail it is",
    ("engine/cli/queue_looking.py", "tenant"): "whose mail it is",
    ("engine/cli/__init__.py", "scan"): "a command",
    ("engine/lists/store.py", "lists"): "a folder",
    ("engine/config/advice.py", "journal"): "a table",
    ("engine/config/oversight.py", "journal"): "a table",
    ("engine/config/reading.py", "journal"): "a table",
    ("engine/config/tables.py", "journal"): "a table",
    ("engine/runtime/journey.py", "journal"): "why there is another message",
    ("engine/operations/telling.py", "journal"): "why there is another message",
    ("engine/web/api/rows.py", "lists"): "a part of the API",
    ("engine/bounces/classes.py", "greylist"): "a class of replies",
    ("engine/rehearsal/difference.py", "route"): "a kind of difference",
    ("engine/operations/previewing.py", "route"): "a kind of difference",
    ("engine/operations/revising.py", "command"): "a setting of stages",
    ("engine/web/admin/editing.py", "route"): "a kind of difference",
    ("engine/web/api/queue.py", "tenant"): "whose mail it is",
    ("engine/bounces/classes.py", "reputation"): "a class of replies",
    ("engine/cli/convert/converted.py", "accept"): "what Postfix does without a milter",
    ("engine/cli/convert/exim_routers.py", "accept"): "a driver of Exim's routers",
    ("engine/cli/convert/exim_routers.py", "lmtp"): "a transport of Exim",
    ("engine/cli/convert/exim_routers.py", "return_path"): "an option of Exim's transports",
    ("engine/cli/convert/maps.py", "lmtp"): "a transport of Postfix",
    ("engine/cli/convert/maps.py", "relay"): "a transport of Postfix",
}
"""Texts in the engine that happen to be a stage's name, each with the reason why it is another word."""


@cache
def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names of all that a module imports, wherever in it; ``from a import b`` gives ``a.b`` as well."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def part(path: Path, folder: str) -> str:
    """The part of the engine, or the stage, that a module belongs to."""
    return path.relative_to(ROOT / folder).with_suffix("").parts[0]


@cache
def parts_of_the_engine() -> set[str]:
    return {part(path, "engine") for path in modules("engine")} - {"__init__"}


def stage_names() -> set[str]:
    return {part(path, "stages") for path in modules("stages")} - {"__init__"}


def wanted(path: Path) -> set[str]:
    """The parts of the engine that a module imports."""
    known = parts_of_the_engine()
    found = set()
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "engine" and rest.split(".")[0] in known:
            found.add(rest.split(".")[0])
    return found


def test_the_table_is_in_order_and_names_every_part() -> None:
    order = list(ARROWS)
    for number, (name, below) in enumerate(ARROWS.items()):
        assert below <= set(order[:number]), f"{name} stands on something that comes after it"
    assert parts_of_the_engine() <= set(ARROWS)


@pytest.mark.parametrize("path", modules("engine"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_it_stands_on(path: Path) -> None:
    name = part(path, "engine")
    allowed = FACE if name == "__init__" else ARROWS[name] | {name}
    assert wanted(path) <= allowed
    above = {"stages"} if path == ROOT / "engine" / "cli" / "bench.py" else {"stages", "bench"}
    assert not above & {found.split(".")[0] for found in imports(path)}


@pytest.mark.parametrize(
    "name",
    [
        "protocols",
        "mime",
        "message",
        "verdict",
        "units",
        "condition",
        "lanes",
        "sieve",
        "wording",
        "delivery_status",
        "feedback",
        "unsubscribe",
    ],
)
def test_what_only_computes_touches_no_loop_socket_or_store(name: str) -> None:
    paths = [path for path in modules("engine") if part(path, "engine") == name]
    assert paths
    for path in paths:
        assert not FOREIGN & {found.split(".")[0] for found in imports(path)}, path


@pytest.mark.parametrize("path", modules("stages"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_stage_imports_no_other_stage(path: Path) -> None:
    own = f"stages.{part(path, 'stages')}"
    others = [name for name in imports(path) if name == "stages" or name.startswith("stages.")]
    assert all(name == own or name.startswith(f"{own}.") for name in others)
    assert "cli" not in wanted(path)
    assert "bench" not in {found.split(".")[0] for found in imports(path)}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts in a module, with their lines."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_the_engine_names_no_stage() -> None:
    names = stage_names()
    assert {"accept", "route", "relay"} <= names
    found = {}
    for path in modules("engine"):
        for line, text in texts(path):
            for name in names & {text, text.removeprefix("stages.")}:
                found[str(path.relative_to(ROOT)), name] = line
    assert {place: line for place, line in found.items() if place not in ORDINARY} == {}
    assert set(ORDINARY) <= set(found), "an exception that is no longer needed"


def test_the_benchmarks_are_loaded_by_their_command_alone() -> None:
    from click import Context

    from engine.cli import main

    shown = main.get_help(Context(main))
    assert "bench" in shown
    script = "import sys, engine.cli; engine.cli.main.get_help(__import__('click').Context(engine.cli.main))"
    loaded = subprocess.run(
        [sys.executable, "-c", f"{script}; print([name for name in sys.modules if name.split('.')[0] == 'bench'])"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert loaded.stdout == "[]\n"


def test_the_names_of_our_stages_are_found_without_importing_them() -> None:
    from engine.config.stages import own_stages

    before = {name for name in sys.modules if name.startswith("stages.")}
    assert own_stages() == stage_names()
    assert {name for name in sys.modules if name.startswith("stages.")} == before
