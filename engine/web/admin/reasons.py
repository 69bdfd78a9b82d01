"""Why the server is not ready, and what will be wrong, in the reader's language: the words of `engine.web.health`."""

import re
from collections.abc import Callable, Iterable

_PATTERNS = tuple(map(re.compile, (
    r"(?P<worker>\S+) does not answer",
    r"(?P<worker>\S+) has revision (?P<old>\S+) in force, not (?P<new>\S+)",
    r"shard (?P<shard>\S+): the disk has no more room than \[queue\] reserve",
    r"shard (?P<shard>\S+): the store does not take changes",
    r"the certificate of (?P<name>\S+) expires on (?P<day>\S+)",
    r"the certificate of (?P<name>\S+) has expired on (?P<day>\S+)",
)))  # fmt: skip


def said(_: Callable[[str], str], reasons: Iterable[str]) -> list[str]:
    """Those that are none of ours stay as they are."""
    forms = (
        _("%(worker)s does not answer"),
        _("%(worker)s has revision %(old)s in force, not %(new)s"),
        _("shard %(shard)s: the disk has no more room than [queue] reserve"),
        _("shard %(shard)s: the store does not take changes"),
        _("the certificate of %(name)s expires on %(day)s"),
        _("the certificate of %(name)s has expired on %(day)s"),
    )

    def one(reason: str) -> str:
        for pattern, form in zip(_PATTERNS, forms, strict=True):
            if found := pattern.fullmatch(reason):
                return form % found.groupdict()
        return reason

    return list(map(one, reasons))
