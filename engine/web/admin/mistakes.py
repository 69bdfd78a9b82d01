"""What is wrong with the lines of an import, in the reader's language."""

import re
from collections.abc import Callable, Iterable

from engine.operations.sheets import LineMistake

_KNOWN: tuple[tuple[str, Callable[[Callable[[str], str]], str]], ...] = (
    (r"there is no column (?P<a>.+?); .*", lambda _: _("There is no column %(a)s.")),
    (r"the column (?P<a>.+) stands there twice", lambda _: _("The column %(a)s stands there twice.")),
    (
        r"the first line must name the columns.*",
        lambda _: _("The first line must name the columns, address among them."),
    ),
    (
        r"(?P<a>\d+) fields, where the first line names (?P<b>\d+)",
        lambda _: _("There are %(a)s fields, and the first line names %(b)s."),
    ),
    (r"admin: (?P<a>.+) is neither .*", lambda _: _("In the column admin there is yes or no, not %(a)s.")),
    (r"(?:size|messages): .*", lambda _: _("Write a size like 5 GB, and a number of messages.")),
    (r"(?P<a>.+) stands in line (?P<b>\d+) already", lambda _: _("%(a)s stands in line %(b)s already.")),
    (r"(?P<a>\S+) is no local domain", lambda _: _("%(a)s is no domain of this server.")),
    (
        r"there is an alias or a group (?P<a>\S+) already",
        lambda _: _("There is an alias or a group %(a)s already."),
    ),
    (
        r"(?P<a>\S+) is there already, and does not stand for (?P<b>\S+) alone",
        lambda _: _("%(a)s is there already, and does not stand for %(b)s alone."),
    ),
    (r"there is no group (?P<a>\S+)", lambda _: _("There is no group %(a)s.")),
    (r"(?P<a>\S+) is in no domain that \S+ may touch", lambda _: _("%(a)s is in no domain that you administer.")),
    (r"(?P<a>\S+) has a role .*", lambda _: _("%(a)s may do more than you, and cannot be changed by you.")),
    (r"(?P<a>.+?) is (?:no address|no domain name|longer than).*", lambda _: _("%(a)s is no address.")),
)
"""How the operation says it, and how we do."""


def worded(mistakes: Iterable[LineMistake], translate: Callable[[str], str]) -> list[tuple[int, str]]:
    """The line and the text of each; what is not foreseen here, as the operation says it."""
    return [(one.line, _worded(one.text, translate)) for one in mistakes]


def _worded(text: str, translate: Callable[[str], str]) -> str:
    for pattern, words in _KNOWN:
        if found := re.fullmatch(pattern, text, re.DOTALL):
            return words(translate) % found.groupdict()
    return text
