"""Untagged responses as octets (RFC 9051 7), each a function that returns whole lines.

``utf8``: the client has enabled IMAP4rev2 or UTF8=ACCEPT; see ``strings``. For status responses see ``codes``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from engine.protocols.imap import names, sets, strings
from engine.protocols.imap.search import Returns
from engine.protocols.imap.sets import SequenceSet
from engine.protocols.imap.strings import astring, mailbox, nstring, quoted, string


def words(keyword: bytes, values: Iterable[str]) -> bytes:
    """CAPABILITY and ENABLED."""
    return b"* %b\r\n" % " ".join((keyword.decode(), *values)).encode()


def identity(pairs: Iterable[tuple[str, str]]) -> bytes:
    """ID (RFC 2971)."""
    shown = b" ".join(string(value.encode()) for pair in pairs for value in pair)
    return b"* ID (%b)\r\n" % shown if shown else b"* ID NIL\r\n"


# Mailboxes.


def listing(
    attributes: Iterable[str], delimiter: str | None, name: str, *,
    utf8: bool = False, lsub: bool = False, child_info: Sequence[str] = (), old_name: str | None = None,
) -> bytes:  # fmt: skip
    """LIST or LSUB; ``child_info`` and ``old_name`` by RFC 9051 7.3.1."""
    more = []
    if child_info:
        more.append(b'"CHILDINFO" (%b)' % b" ".join(quoted(word.encode()) for word in child_info))
    if old_name is not None:
        more.append(b'"OLDNAME" (%b)' % mailbox(old_name, utf8=utf8))
    return b"* %b (%b) %b %b%b\r\n" % (
        b"LSUB" if lsub else b"LIST",
        " ".join(attributes).encode(),
        quoted(delimiter.encode()) if delimiter else strings.NIL,
        mailbox(name, utf8=utf8),
        b" (%b)" % b" ".join(more) if more else b"",
    )


def status(name: str, items: Mapping[str, int | str | None], *, utf8: bool = False) -> bytes:
    """STATUS; texts are object identifiers, None is NIL (an APPENDLIMIT that is none)."""
    shown = b" ".join([b"%b %b" % (item.encode(), _status_value(value)) for item, value in items.items()])
    return b"* STATUS %b (%b)\r\n" % (mailbox(name, utf8=utf8), shown)


def _status_value(value: int | str | None) -> bytes:
    if value is None:
        return strings.NIL
    return b"%d" % value if isinstance(value, int) else b"(%b)" % value.encode()


class Space(NamedTuple):
    """A namespace: what its names begin with, and what parts their levels."""

    prefix: str
    delimiter: str


def namespace(
    personal: Sequence[Space], others: Sequence[Space] = (), shared: Sequence[Space] = (), *, utf8: bool = False
) -> bytes:
    def shown(spaces: Sequence[Space]) -> bytes:
        pairs = (
            b"(%b %b)" % (_quoted_name(space.prefix, utf8=utf8), quoted(space.delimiter.encode())) for space in spaces
        )
        return b"(%b)" % b"".join(pairs) if spaces else strings.NIL

    return b"* NAMESPACE %b %b %b\r\n" % (shown(personal), shown(others), shown(shared))


def _quoted_name(name: str, *, utf8: bool) -> bytes:
    return string(names.encode(name, utf8=utf8), utf8=utf8)


# What is in the selected mailbox.


def flags(shown: Iterable[bytes]) -> bytes:
    return b"* FLAGS (%b)\r\n" % b" ".join(shown)


def exists(count: int) -> bytes:
    return b"* %d EXISTS\r\n" % count


def recent(count: int) -> bytes:
    """RFC 3501 7.3.2; IMAP4rev2 has none."""
    return b"* %d RECENT\r\n" % count


def expunged(numbers: Iterable[int]) -> bytes:
    """Each number counts after those before it are gone: give them in descending order, as ``view`` does."""
    return b"".join([b"* %d EXPUNGE\r\n" % number for number in numbers])


def vanished(uids: SequenceSet, *, earlier: bool = False) -> bytes:
    """RFC 7162 3.2.10."""
    return b"* VANISHED %b%b\r\n" % (b"(EARLIER) " if earlier else b"", uids.render())


# FETCH. An item is its name, a space and its value; the caller keeps those ready that many messages share.


def fetch(number: int, items: Iterable[bytes], *, uid_only: bool = False) -> bytes:
    """``number`` is a UID with UIDONLY (RFC 9586 3.3), else a message number."""
    return b"* %d %b (%b)\r\n" % (number, b"UIDFETCH" if uid_only else b"FETCH", b" ".join(items))


def fetch_head(
    number: int, items: Iterable[bytes], label: bytes, size: int, *, binary: bool = False, uid_only: bool = False
) -> bytes:
    """Up to the octets that the caller sends itself, ``size`` of them; ``FETCH_TAIL`` follows, or more items."""
    before = b"".join([b"%b " % item for item in items])
    head = strings.literal_head(size, binary=binary)
    return b"* %d %b (%b%b %b" % (number, b"UIDFETCH" if uid_only else b"FETCH", before, label, head)


FETCH_TAIL = b")\r\n"


def fetch_flags(
    rows: Iterable[tuple[object, ...]],
    *, uid: bool = False, modseq: bool = False, uid_only: bool = False,
) -> bytes:  # fmt: skip
    """FLAGS of many messages in one go.

    A row is the message number, the UID if ``uid``, the flags joined by spaces, the mod-sequence if ``modseq``; with
    ``uid_only`` the UID is all the number there is.
    """
    template = b"* %%d %b (%bFLAGS (%%b)%b)\r\n" % (
        b"UIDFETCH" if uid_only else b"FETCH",
        b"UID %d " if uid and not uid_only else b"",
        b" MODSEQ (%d)" if modseq else b"",
    )
    return b"".join(map(template.__mod__, rows))


# Results of SEARCH, SORT and THREAD.


def search(numbers: Iterable[int], *, sort: bool = False, modseq: int | None = None) -> bytes:
    """SEARCH as RFC 3501 7.2.5 has it, or SORT; ``modseq``: the highest of those found (RFC 7162 3.1.5)."""
    found = b"".join([b" %d" % number for number in numbers])
    tail = b" (MODSEQ %d)" % modseq if modseq is not None and found else b""
    return b"* %b%b%b\r\n" % (b"SORT" if sort else b"SEARCH", found, tail)


def esearch(tag: bytes, numbers: Sequence[int], returns: Returns, *, uid: bool, modseq: int | None = None) -> bytes:
    """ESEARCH (RFC 9051 7.3.4); ``numbers`` in ascending order, or in that of a SORT.

    Empty where ``returns`` wants nothing told, but saved (RFC 5182 2.1).
    """
    items = []
    if returns.smallest and numbers:
        items.append(b" MIN %d" % numbers[0])
    if returns.largest and numbers:
        items.append(b" MAX %d" % numbers[-1])
    if returns.count:
        items.append(b" COUNT %d" % len(numbers))
    if returns.all and numbers:
        items.append(b" ALL %b" % sets.of(numbers).render())
    if returns.partial is not None:
        part = sets.of(partial(numbers, returns.partial)).render() or strings.NIL
        items.append(b" PARTIAL (%d:%d %b)" % (*returns.partial, part))
    if modseq is not None and numbers:
        items.append(b" MODSEQ %d" % modseq)
    if returns.save and not (returns.smallest or returns.largest or returns.count or returns.all or returns.partial):
        return b""
    return b"* ESEARCH (TAG %b)%b%b\r\n" % (quoted(tag), b" UID" if uid else b"", b"".join(items))


def partial(numbers: Sequence[int], wanted: tuple[int, int]) -> Sequence[int]:
    """The numbers that PARTIAL wants, in their order (RFC 9394 3.1)."""
    first, last = wanted
    if first > 0:
        return numbers[first - 1 : last]
    end = len(numbers) + first + 1
    return numbers[max(0, len(numbers) + last) : end] if end > 0 else numbers[:0]


class Node(NamedTuple):
    """A message and what answers it; ``number`` None: a thread whose first message is not there."""

    number: int | None
    children: "Sequence[Node]" = ()


def threads(roots: Iterable[Node]) -> bytes:
    """THREAD (RFC 5256 4). Without recursion: strangers choose how deep a thread is."""
    written: list[bytes] = []
    waiting: list[Node | bytes] = [*reversed([part for root in roots for part in (b"(", root, b")")])]
    while waiting:
        part = waiting.pop()
        if isinstance(part, bytes):
            written.append(part)
            continue
        if part.number is not None:
            written.append(b"%d" % part.number)
            if part.children:
                written.append(b" ")
        if len(part.children) == 1:
            waiting.append(part.children[0])
        else:
            waiting += reversed([piece for child in part.children for piece in (b"(", child, b")")])
    return b"* THREAD%b\r\n" % (b" " + b"".join(written) if written else b"")


# Rights, quotas, metadata.


def acl(name: str, entries: Iterable[tuple[str, str]], *, utf8: bool = False) -> bytes:
    """RFC 4314 3.6: identifiers and their rights."""
    shown = b"".join(b" %b %b" % (_text(who, utf8), _text(rights, utf8)) for who, rights in entries)
    return b"* ACL %b%b\r\n" % (mailbox(name, utf8=utf8), shown)


def list_rights(name: str, identifier: str, required: str, optional: Iterable[str], *, utf8: bool = False) -> bytes:
    """RFC 4314 3.7: what the identifier always has, and what it can be given, in groups that go together."""
    shown = b" ".join(_text(rights, utf8) for rights in (identifier, required, *optional))
    return b"* LISTRIGHTS %b %b\r\n" % (mailbox(name, utf8=utf8), shown)


def my_rights(name: str, rights: str, *, utf8: bool = False) -> bytes:
    """RFC 4314 3.8."""
    return b"* MYRIGHTS %b %b\r\n" % (mailbox(name, utf8=utf8), _text(rights, utf8))


def quota(root: str, resources: Iterable[tuple[str, int, int]], *, utf8: bool = False) -> bytes:
    """RFC 9208 4.2.1: name, usage and limit of each; STORAGE in units of 1,024 octets."""
    shown = b" ".join(b"%b %d %d" % (name.encode(), usage, limit) for name, usage, limit in resources)
    return b"* QUOTA %b (%b)\r\n" % (_text(root, utf8), shown)


def quota_root(name: str, roots: Iterable[str], *, utf8: bool = False) -> bytes:
    """RFC 9208 4.2.2."""
    return b"* QUOTAROOT %b%b\r\n" % (mailbox(name, utf8=utf8), b"".join(b" " + _text(root, utf8) for root in roots))


def metadata(name: str, values: Iterable[tuple[str, bytes | None]], *, utf8: bool = False) -> bytes:
    """RFC 5464 4.4.1: entries with their values."""
    shown = b" ".join(b"%b %b" % (astring(entry.encode()), nstring(value, utf8=utf8)) for entry, value in values)
    return b"* METADATA %b (%b)\r\n" % (_quoted_name(name, utf8=utf8), shown)


def _text(text: str, utf8: bool) -> bytes:
    return astring(text.encode(), utf8=utf8)
