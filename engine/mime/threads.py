"""THREAD on plain records: ORDEREDSUBJECT and REFERENCES (RFC 5256 3)."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from engine.mime.fields import Fields, unfolded

REFERENCES_LIMIT = 200
"""Message IDs that a message may refer to; of more, the last ones count, which are nearest to it."""

ID_LIMIT = 998
"""Octets of a message ID: it is on one line (RFC 5322 2.1.1)."""

_ID = re.compile(rb'<[ \t\r\n]*+((?>(?:"(?>(?:[^"\\]++|\\.)*)"|[^<>"]++)+))>')
_QUOTED = re.compile(rb'"((?>(?:[^"\\]++|\\.)*))"')
_PAIR = re.compile(rb"\\(.)", re.DOTALL)


class Threadable(Struct, frozen=True, array_like=True, gc=False):
    """A message as THREAD sees it."""

    number: int  # sequence number or UID, as the client asked
    sent: float  # Unix seconds
    subject: str = ""  # base subject, casemapped
    is_reply: bool = False
    message_id: bytes = b""
    references: Sequence[bytes] = ()


class Node:
    """A message, or None for one that is not there, and the answers to it."""

    __slots__ = ("children", "mail", "parent", "top")

    def __init__(self, mail: Threadable | None = None) -> None:
        self.mail = mail
        self.parent: Node | None = None
        self.children: list[Node] = []
        self.top = self  # towards the first of the thread, shortened as it is followed


def message_ids(value: bytes) -> list[bytes]:
    """The message IDs in a field, normalised: without brackets, needless quotes and white space (RFC 5256 3)."""
    found = []
    for identity in _ID.findall(unfolded(value)):
        plain = b"".join(_QUOTED.sub(lambda quoted: _PAIR.sub(rb"\1", quoted[1]), identity).split())
        if b"@" in plain and len(plain) <= ID_LIMIT:
            found.append(plain)
    return found


def identity_and_references(found: Fields) -> tuple[bytes, tuple[bytes, ...]]:
    """The Message-ID, empty where there is none, and what is referred to: References, else the first of In-Reply-To."""
    values: dict[bytes, bytes] = {}
    for name, value in found:
        key = name.lower()
        if key in {b"message-id", b"references", b"in-reply-to"}:
            values.setdefault(key, value)
    own = message_ids(values.get(b"message-id", b""))
    references = message_ids(values.get(b"references", b""))
    if len(references) > REFERENCES_LIMIT:  # the first of the thread and the nearest ones say most (RFC 5537 3.4.4)
        references = [references[0], *references[1 - REFERENCES_LIMIT :]]
    references = references or message_ids(values.get(b"in-reply-to", b""))[:1]
    return own[0] if own else b"", tuple(references)


def root(message_id: bytes, references: tuple[bytes, ...]) -> bytes:
    """The Message-ID of the first message of the thread, as far as this one knows; empty: it is alone."""
    return references[0] if references else message_id


def ordered_subject(mails: Iterable[Threadable]) -> list[Node]:
    """A thread for each base subject: its earliest message, and all others as answers to that one."""
    threads: dict[str, Node] = {}
    for mail in sorted(mails, key=_order):
        if mail.subject in threads:
            threads[mail.subject].children.append(Node(mail))
        else:
            threads[mail.subject] = Node(mail)
    return list(threads.values())


def references(mails: Iterable[Threadable]) -> list[Node]:
    """Threads by what messages refer to, then by base subject. Takes little more than linear time."""
    nodes, known = _linked(mails)
    roots = _pruned([node for node in [*nodes, *known.values()] if node.parent is None])
    _sort(roots)
    roots = _joined_by_subject(roots)
    _sort(roots)
    return roots


def rendered(threads: Iterable[Node]) -> bytes:
    """The thread-list of the THREAD response, without a space before it (RFC 5256 5)."""
    pieces: list[str] = []
    waiting: list[Node | str] = [*_lists(list(threads))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            pieces.append(node)
            continue
        if node.mail is not None:
            pieces.append(str(node.mail.number))
            if node.children:
                pieces.append(" ")
        if len(node.children) == 1:
            waiting.append(node.children[0])
        else:
            waiting.extend(_lists(node.children))
    return "".join(pieces).encode()


def _lists(nodes: list[Node]) -> list[Node | str]:
    """Each in parentheses, last first."""
    return [piece for node in reversed(nodes) for piece in (")", node, "(")]


def _order(mail: Threadable) -> tuple[float, int]:
    return mail.sent, mail.number


def _linked(mails: Iterable[Threadable]) -> tuple[list[Node], dict[bytes, Node]]:
    """Step 1. What a message says of itself goes before what others say of it, so no link is ever undone."""
    found: list[Node] = []
    known: dict[bytes, Node] = {}
    for mail in sorted(mails, key=lambda mail: mail.number):
        node = Node(mail)
        found.append(node)
        if mail.message_id:
            known.setdefault(mail.message_id, node)  # of two with one ID the first has it
    extra: dict[bytes, Node] = {}
    chains = []
    for node in found:
        if node.mail is None or not node.mail.references:
            continue
        chain = []
        for identity in node.mail.references:
            other = known.get(identity) or extra.get(identity)
            if other is None:
                other = extra[identity] = Node()
            chain.append(other)
        chains.append(chain)
        _link(chain[-1], node)
    for chain in chains:
        for parent, child in pairwise(chain):
            _link(parent, child)
    return found, extra


def _link(parent: Node, child: Node) -> None:
    """Unless the child has a parent already, or is above that parent."""
    if child.parent is None and _top(parent) is not child:
        child.parent = child.top = parent
        parent.children.append(child)


def _top(node: Node) -> Node:
    while node.top is not node:
        node.top = node.top.top
        node = node.top
    return node


def _downwards(roots: list[Node]) -> list[Node]:
    """All nodes, each before those below it."""
    found = list(roots)
    for node in found:
        found.extend(node.children)  # the list grows while it is walked
    return found


def _pruned(roots: list[Node]) -> list[Node]:
    """Step 3: without nodes for messages that are not there, unless one holds several threads together."""
    for node in reversed(_downwards(roots)):
        node.children = _kept(node.children)
    return _kept(roots, is_root=True)


def _kept(nodes: list[Node], *, is_root: bool = False) -> list[Node]:
    kept: list[Node] = []
    for node in nodes:
        if node.mail is not None or (is_root and len(node.children) > 1):
            kept.append(node)
        else:
            kept.extend(node.children)
    return kept


def _first(node: Node) -> Threadable:
    """The message of a node, or of the first below it."""
    mail = node.mail or node.children[0].mail
    assert mail is not None  # a node without a message is a root, and has several below it
    return mail


def _sort(roots: list[Node]) -> None:
    """Steps 4 and 6: siblings by sent date, from the bottom up."""
    for node in reversed(_downwards(roots)):
        node.children.sort(key=lambda child: _order(_first(child)))
    roots.sort(key=lambda root: _order(_first(root)))


def _joined_by_subject(roots: list[Node]) -> list[Node]:
    """Step 5: threads of one base subject become one."""
    table: dict[str, Node] = {}
    for root in roots:
        subject = _first(root).subject
        other = table.get(subject)
        if subject and (other is None or _goes_before(root, other)):
            table[subject] = root
    kept = dict.fromkeys(roots)
    for root in roots:
        subject = _first(root).subject
        other = table.get(subject)
        if other is None or other is root or root not in kept:
            continue
        del kept[root]
        if other.mail is None:
            other.children.extend(root.children if root.mail is None else [root])
        elif root.mail is not None and root.mail.is_reply and not other.mail.is_reply:
            other.children.append(root)
        else:
            both = table[subject] = Node()
            both.children = [other, root]
            del kept[other]
            kept[both] = None
    return list(kept)


def _goes_before(root: Node, other: Node) -> bool:
    """Whether this thread takes the place of that one in the table of subjects (step 5.B)."""
    if root.mail is None or other.mail is None:
        return root.mail is None and other.mail is not None
    return other.mail.is_reply and not root.mail.is_reply
