"""What Exim's ACLs become: lists of the DNS, and a note on each statement that has no counterpart by itself."""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from engine.cli.convert.exim_conf import EximConf, Statement, parted
from engine.cli.convert.written import toml

Note: TypeAlias = Callable[[str], None]

_MODIFIERS = {
    "message", "log_message", "logwrite", "control", "delay", "endpass", "log_reject_target", "continue", "set",
    "add_header", "remove_header", "queue",
}  # fmt: skip
"""What only says how, not when."""

_DONE_ANYWAY = [
    {"hosts"}, {"authenticated"}, {"domains"}, {"local_parts", "domains"}, {"!verify"}, {"verify"},
    {"verify", "domains"}, {"!acl", "!verify"}, {"encrypted"}, set(),
]  # fmt: skip
"""Conditions of statements, by name, that say what Postroad does by itself, if these are their values."""

_VALUES = {
    "hosts": r":?|\+relay_from_hosts|@\[\]|127\.0\.0\.1.*", "authenticated": r"\*", "encrypted": r"\*",
    "domains": r"[!+\w\s:]*", "local_parts": r"postmaster|\^.*|abuse.*",
    "verify": r"recipient|header_syntax|sender|not_blind", "!verify": r"(header_)?sender|recipient|header_syntax",
    "!acl": r"\w+",
}  # fmt: skip

_WHERE = {
    "spf": "`authenticate` looks at SPF, and DMARC decides; [stage.authenticate]",
    "malware": "[stage.scan] clamd", "spam": "[stage.scan]", "ratelimit": "docs/operating.md, Rates",
    "regex": "a filter (docs/writing-stages.md)", "mime_regex": "a filter (docs/writing-stages.md)",
    "decode": "[stage.attachments]", "demime": "[stage.attachments]",
    "!verify": "[stage.client_names]", "dkim_signers": "`authenticate`", "dkim_status": "`authenticate`",
    "senders": "`postroad lists`", "hosts": "`postroad lists`, or clients in [stage.accept]",
    "recipients": "`postroad lists`, or a filter", "condition": "a filter (docs/writing-stages.md)",
}  # fmt: skip
"""Condition → where to look, by what weighs most first."""


class Acls:
    """``lists``: the line of [stage.dnsbl], empty where clients are refused by none."""

    def __init__(self, conf: EximConf, note: Note) -> None:
        self._conf = conf
        self._note = note
        self._lists: list[dict[str, Any]] = []
        used = {setting.value for name, setting in conf.main.items() if name.startswith("acl_smtp_")}
        for statement in conf.statements:
            if statement.acl in used and not self._is_never(statement):
                self._statement(statement)
        self.lists = f"lists = {toml(self._lists)}  # dnslists" if self._lists else ""

    def _is_never(self, statement: Statement) -> bool:
        """Whether it looks for what stands in a file that there is not."""
        return any(_is_without_file(self._conf, one.value) for one in statement.conditions)

    def _statement(self, statement: Statement) -> None:
        zones = statement.of("dnslists")
        if zones and statement.verb in ("deny", "drop", "warn", "defer"):
            weight = {"warn": 0.0}.get(statement.verb)
            for item in parted(zones[0]):
                self._list(statement, item, weight)
            return
        asked = {one.name: one.value for one in statement.conditions if one.name not in _MODIFIERS}
        refuses = statement.verb in ("deny", "drop", "defer") and asked.keys().isdisjoint({"!verify", "local_parts"})
        known = (
            not refuses
            and set(asked) in _DONE_ANYWAY
            and all(re.fullmatch(_VALUES[name], asked[name]) for name in asked)
        )
        if known or (statement.verb == "warn" and not asked):
            return
        where = next((text for name, text in _WHERE.items() if name in asked), "a filter (docs/writing-stages.md)")
        said = ", ".join(f"{name} = {value[:50]}" if value else name for name, value in asked.items())
        self._note(f"{statement.place}: {statement.acl}: {statement.verb} {said} was left out: {where}")

    def _list(self, statement: Statement, item: str, weight: float | None) -> None:
        match = re.fullmatch(r"([\w.-]+)(?:=([\d.,]+))?(?:/\$sender_address_domain)?", item)
        if match is None:
            self._note(f"{statement.place}: the list {item[:80]} was left out: [stage.dnsbl]")
            return
        found: dict[str, Any] = {"zone": match[1]}
        if weight is not None:
            found["weight"] = weight
        if match[2]:
            found["answers"] = match[2].split(",")
        if item.endswith("domain"):
            found["of"] = ["sender"]
        self._lists.append(found)


def _is_without_file(conf: EximConf, value: str) -> bool:
    match = re.fullmatch(r"\$\{if\s+exists\s*\{([^{}]+)\}\s*\{[^{}]*\}\s*\{\s*\}\s*\}", value)
    if match is None:
        return False
    try:
        conf.text_of(match[1])
    except LookupError:
        return True
    return False
