r"""The folders of the source, and where their messages go: names, levels and special uses are translated.

Special uses (RFC 6154) are looked at first: what the source has for sent mail goes to what we have for it, whatever the
two are called. ``\All`` shows again what other folders have: it comes last, and of it only what came from no other one.
``\Flagged`` and ``\Important`` show nothing that is nowhere else, and are left out unless they are named.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from engine.mailbox.names import AT_FIRST, INBOX_NAME, SEPARATOR, USES, canonical, is_reserved
from engine.protocols.imap_client.data import Listed

ALL, ARCHIVE = "\\all", "\\Archive"

_VIEWS = frozenset({"\\flagged", "\\important"})
_NO_MAILBOX = frozenset({"\\noselect", "\\nonexistent"})

_USES = {use.lower(): use for use in USES if use}

_KNOWN = {
    "sent": "\\Sent", "sent items": "\\Sent", "sent messages": "\\Sent", "sent mail": "\\Sent",
    "drafts": "\\Drafts",
    "junk": "\\Junk", "junk e-mail": "\\Junk", "junk email": "\\Junk", "spam": "\\Junk", "bulk mail": "\\Junk",
    "trash": "\\Trash", "deleted items": "\\Trash", "deleted messages": "\\Trash",
    "archive": "\\Archive",
}  # fmt: skip
"""What servers that tell of no special uses call what has one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which folders are wanted, by the names that the source has for them; ``*`` and ``?`` stand for others."""

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def names(self, name: str) -> bool:
        """Whether it was asked for by its name."""
        return any(fnmatchcase(name, pattern) for pattern in self.only)

    def takes(self, name: str) -> bool:
        return (not self.only or self.names(name)) and not any(fnmatchcase(name, one) for one in self.without)


@dataclass(frozen=True, slots=True)
class Namespaces:
    """What names begin with (RFC 2342): of one's own mailboxes, and of those of others."""

    own: str = ""
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of the source, and the mailbox of ours that its messages go to."""

    raw: bytes
    name: str  # as the source has it
    to: str
    use: str = ""
    subscribed: bool = True
    again: bool = False  # it shows what other folders have


@dataclass(frozen=True, slots=True)
class Plan:
    """In the order in which they are read; and why others are not."""

    places: tuple[Place, ...]
    notes: tuple[str, ...] = ()


def planned(
    listed: Iterable[Listed],
    namespaces: Namespaces,
    *,
    subscribed: frozenset[bytes],
    ours: Mapping[str, str],
    choice: Choice,
    into: str = "",
) -> Plan:
    """``ours``: names of our mailboxes by their special uses. ``into``: the mailbox below which all goes; or empty."""
    found, notes = [], []
    folders = [one for one in {one.raw: one for one in listed}.values() if _is_wanted(one, namespaces, choice)]
    uses = _uses(folders, namespaces)
    for one in folders:
        use = uses.get(one.raw, "")
        try:
            to = _target(one, namespaces, use, ours, into)
        except ValueError as error:
            notes.append(f"{one.name}: no mailbox of ours can have this name: {error}")
            continue
        shown = not subscribed or one.raw in subscribed or bool(use) or to == INBOX_NAME
        found.append(Place(one.raw, one.name, to, "" if into else use, shown, ALL in one.attributes))
    missing = [name for name in choice.only if not any(fnmatchcase(one.name, name) for one in folders)]
    notes += [f"the source has no folder {name}" for name in missing]
    return Plan(tuple(sorted(found, key=lambda one: (one.again, one.name != INBOX_NAME, one.name))), tuple(notes))


def _is_wanted(one: Listed, namespaces: Namespaces, choice: Choice) -> bool:
    if one.attributes & _NO_MAILBOX:
        return False
    hidden = bool(one.attributes & _VIEWS) or any(one.name.startswith(prefix) for prefix in namespaces.foreign)
    return choice.names(one.name) and choice.takes(one.name) if hidden else choice.takes(one.name)


def _uses(folders: Sequence[Listed], namespaces: Namespaces) -> dict[bytes, str]:
    """The special uses by raw names; one that the source tells counts before what a name says."""
    told = {one.raw: use for one in folders for word in sorted(one.attributes) if (use := _USES.get(word))}
    for one in folders:
        use = _KNOWN.get(_own(one, namespaces).casefold(), "")
        if use and use not in told.values() and one.raw not in told and ALL not in one.attributes:
            told[one.raw] = use
    return told


def _own(one: Listed, namespaces: Namespaces) -> str:
    """The name without what all of one's own begin with."""
    return one.name.removeprefix(namespaces.own) or one.name


def _target(one: Listed, namespaces: Namespaces, use: str, ours: Mapping[str, str], into: str) -> str:
    if ALL in one.attributes:
        use = ARCHIVE
    name = _own(one, namespaces)
    if not into and use:
        return ours.get(use) or next(name for name, number in AT_FIRST if USES[number] == use)
    levels = name.split(one.separator) if one.separator else [name]
    name = SEPARATOR.join(level.strip().replace(SEPARATOR, "_") for level in levels if level.strip())
    if into:
        name = f"{into}{SEPARATOR}{name}"
    name = canonical(name)
    if is_reserved(name):  # in everybody's eyes, that is what others share
        first, *rest = name.split(SEPARATOR)
        name = SEPARATOR.join((f"{first}_", *rest))
    return name
