"""What is wrong with a command though its form is right, as far as that shows before it is run."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine import regex
from engine.protocols.address import Malformed, parse_path
from engine.sieve import dates
from engine.sieve.compiled import Node, Template, Value
from engine.sieve.limits import Limits
from engine.sieve.matching import COMPARATORS
from engine.sieve.strings import IDENTIFIER, Names

FIELD_NAME = re.compile(r"[!-9;-~]+")
ENVELOPE_PARTS = frozenset({"from", "to"})
IMPORTANCE = frozenset({"1", "2", "3"})
RELATIONS = frozenset({"gt", "ge", "lt", "le", "eq", "ne"})

# RFC 5228 5.1: the address test is for fields that hold addresses.
ADDRESS_FIELDS = frozenset(
    {
        "apparently-to",
        "approved",
        "bcc",
        "cc",
        "delivered-to",
        "disposition-notification-to",
        "envelope-to",
        "errors-to",
        "from",
        "mail-followup-to",
        "mail-reply-to",
        "original-recipient",
        "reply-to",
        "resent-bcc",
        "resent-cc",
        "resent-from",
        "resent-reply-to",
        "resent-sender",
        "resent-to",
        "return-path",
        "return-receipt-to",
        "sender",
        "to",
    }
)

SCRIPT_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f/\u2028\u2029]{1,128}")
"""RFC 5804 1.6, without what leads elsewhere in a file system."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A command or test under examination."""

    node: Node
    at: int
    places: Mapping[str | int, int]  # of tags by name, of other arguments by number
    required: set[str]
    names: Names
    limits: Limits
    say: Callable[[int, str], None]

    def wrong(self, place: str | int, text: str) -> None:
        self.say(self.places.get(place, self.at), text)

    def constants(self, value: Value) -> list[str]:
        """The strings of an argument that are known now."""
        return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def redirect(checked: Checked) -> None:
    for address in checked.constants(checked.node.arguments[0]):
        found = parse_path(f"<{address}>", null_ok=False, utf8=True)
        if isinstance(found, Malformed):
            checked.wrong(0, f'"{address}" is no address: {found.text}')


def fileinto(checked: Checked) -> None:
    for name in checked.constants(checked.node.arguments[0]):
        if not name or re.search(r"[\x00-\x1f\x7f]", name):
            checked.wrong(0, f"{name!r} is no name of a folder")


def set_(checked: Checked) -> None:
    checked.node.arguments[0] = _variable(checked, checked.node.arguments[0])


def global_(checked: Checked) -> None:
    if "variables" not in checked.required:
        checked.wrong(0, '`global` needs require "variables"')
    for name in checked.constants(checked.node.arguments[0]):
        if not IDENTIFIER.fullmatch(name):
            checked.wrong(0, f'"{name}" is no name of a variable')
        checked.names.shared.add(name.lower())


def flags(checked: Checked) -> None:
    if len(checked.node.arguments) > 1:
        if "variables" not in checked.required:
            checked.wrong(0, 'a variable needs require "variables"')
        checked.node.arguments[0] = _variable(checked, checked.node.arguments[0])


def hasflag(checked: Checked) -> None:
    match(checked)
    if len(checked.node.arguments) > 1:
        if "variables" not in checked.required:
            checked.wrong(0, 'a variable needs require "variables"')
        names = checked.node.arguments[0]
        assert isinstance(names, list)
        checked.node.arguments[0] = [str(_variable(checked, name)) for name in names]


def vacation(checked: Checked) -> None:
    options = checked.node.options
    for address in checked.constants(options.get("from", [])):
        if not _MAILBOX.fullmatch(address):
            checked.wrong("from", f'"{address}" is no address')
    for subject in checked.constants(options.get("subject", [])):
        if re.search(r"[\r\n]", subject):
            checked.wrong("subject", "a subject is one line")


def addheader(checked: Checked) -> None:
    _field_names(checked, 0)


def deleteheader(checked: Checked) -> None:
    _field_names(checked, 0)
    _index(checked)
    match(checked)


def include(checked: Checked) -> None:
    if isinstance(checked.node.arguments[0], Template):
        checked.wrong(0, "the name of a script to include holds no variables")  # RFC 6609 3.2
    for name in checked.constants(checked.node.arguments[0]):
        if not SCRIPT_NAME.fullmatch(name):
            checked.wrong(0, f'"{name}" is no name of a script')


def notify(checked: Checked) -> None:
    for method in checked.constants(checked.node.arguments[0]):
        if not method.lower().startswith("mailto:"):
            checked.wrong(0, "the only method is mailto:")
    for importance in checked.constants(checked.node.options.get("importance", [])):
        if importance not in IMPORTANCE:
            checked.wrong("importance", 'importance is "1", "2" or "3"')


def size(checked: Checked) -> None:
    if "side" not in checked.node.options:
        checked.say(checked.at, "`size` needs `:over` or `:under`")


def header(checked: Checked) -> None:
    _field_names(checked, 0)
    _index(checked)
    match(checked)


def exists(checked: Checked) -> None:
    _field_names(checked, 0)


def address(checked: Checked) -> None:
    header(checked)
    for name in checked.constants(checked.node.arguments[0]):
        if name.lower() not in ADDRESS_FIELDS and not name.lower().startswith("x-"):
            checked.wrong(0, f"`{name}` holds no addresses; test it by `header`")


def envelope(checked: Checked) -> None:
    match(checked)
    for name in checked.constants(checked.node.arguments[0]):
        if name.lower() not in ENVELOPE_PARTS:
            checked.wrong(0, f'"{name}" is no part of an envelope; there are "from" and "to"')


def date(checked: Checked) -> None:
    _index(checked)
    match(checked)
    for zone in checked.constants(checked.node.options.get("zone", [])):
        if dates.zone(zone) is None:
            checked.wrong("zone", f'"{zone}" is no time zone, such as "+0200"')
    for part in checked.constants(checked.node.arguments[-2]):
        if part.lower() not in dates.PARTS:
            checked.wrong(len(checked.node.arguments) - 2, f'"{part}" is no part of a date')


def match(checked: Checked) -> None:
    """Comparator, relation and regular expressions."""
    options = checked.node.options
    kind = str(options.get("match", "is"))
    comparator = options.get("comparator", "i;ascii-casemap")
    if not isinstance(comparator, str) or comparator not in COMPARATORS:
        checked.wrong("comparator", f'no comparator is named "{comparator}"; there are {", ".join(COMPARATORS)}')
        return
    if comparator == "i;ascii-numeric" and "comparator-i;ascii-numeric" not in checked.required:
        checked.wrong("comparator", f'`{comparator}` needs require "comparator-{comparator}"')
    if comparator == "i;ascii-numeric" and kind in {"contains", "matches", "regex"}:
        checked.wrong("comparator", f"`{comparator}` cannot be used with `:{kind}`")
    if kind in {"value", "count"}:
        for relation in checked.constants(options[kind]):
            if relation.lower() not in RELATIONS:
                checked.wrong(kind, f'"{relation}" is no relation; there are {", ".join(sorted(RELATIONS))}')
    if kind == "regex" and checked.node.arguments:
        for pattern in checked.constants(checked.node.arguments[-1]):
            try:
                regex.compiled(pattern, casemap=comparator != "i;octet", limit=checked.limits.regex)
            except ValueError as error:
                checked.wrong(len(checked.node.arguments) - 1, f"{error} in the regular expression")


_MAILBOX = re.compile(r"(?:[^<>@\r\n]*<[^<>\s@]+@[^<>\s@]+>|[^<>\s@]+@[^<>\s@]+)")


def _field_names(checked: Checked, place: int) -> None:
    for name in checked.constants(checked.node.arguments[place]):
        if not FIELD_NAME.fullmatch(name):
            checked.wrong(place, f'"{name}" is no name of a header field')


def _index(checked: Checked) -> None:
    if checked.node.options.get("index", 1) == 0:
        checked.wrong("index", "`:index` counts from 1")


def _variable(checked: Checked, value: Value) -> Value:
    """The name under which the variable is kept."""
    name = value if isinstance(value, str) else ""
    space, _, last = name.rpartition(".")
    shared = space.lower() == "global" and "include" in checked.required
    if not IDENTIFIER.fullmatch(last) or (space and not shared):
        checked.wrong(0, f'"{name}" is no name of a variable')
        return ""
    try:
        return checked.names.take(name)
    except ValueError as error:
        checked.wrong(0, str(error))
        return ""


CHECKS: Mapping[str, Callable[[Checked], None]] = {
    "redirect": redirect,
    "fileinto": fileinto,
    "set": set_,
    "global": global_,
    "setflag": flags,
    "addflag": flags,
    "removeflag": flags,
    "vacation": vacation,
    "addheader": addheader,
    "deleteheader": deleteheader,
    "include": include,
    "notify": notify,
    "size": size,
    "exists": exists,
    "header": header,
    "address": address,
    "envelope": envelope,
    "date": date,
    "currentdate": date,
    "hasflag": hasflag,
    "body": match,
    "string": match,
    "environment": match,
    "notify_method_capability": match,
    "spamtest": match,
    "virustest": match,
}
