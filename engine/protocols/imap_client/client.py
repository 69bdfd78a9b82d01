"""One connection to a server: commands out, what it says in. Several commands may be under way at once."""

from collections import deque
from typing import Final

from engine.protocols.imap_client.answers import Answers, Continue, ImapError, Item, Status, Token, Untagged

_MOST_CAPABILITIES: Final = 500


class ImapClient:
    """``next`` raises ImapError; then the connection is of no use any more."""

    def __init__(self) -> None:
        self._answers = Answers()
        self._numbers = 0
        self.under_way: deque[str] = deque()  # tags of commands that have not ended
        self.capabilities: frozenset[str] = frozenset()  # in capitals; empty: they are to be asked for

    def command(self, words: bytes) -> bytes:
        """A command as it is sent. ``words`` come from ``quoted`` and the like, so that they hold no line end."""
        if b"\r" in words or b"\n" in words or b"\0" in words:
            raise ValueError("a command has one line")
        self._numbers += 1
        tag = f"P{self._numbers}"
        self.under_way.append(tag)
        return b"%b %b\r\n" % (tag.encode(), words)

    def receive(self, octets: bytes) -> None:
        self._answers.receive(octets)

    def next(self) -> Item | None:
        """None until more is received."""
        item = self._answers.next()
        if isinstance(item, Status):
            self._ended(item)
        elif isinstance(item, Untagged) and _is_word(item.words[:1], "CAPABILITY"):
            self._learn(item.words[1:])
        elif isinstance(item, Continue) and not self.under_way:
            raise ImapError("the server waits for what nobody has begun")
        return item

    def encrypted(self) -> None:
        """TLS begins: what was said before it counts no more (RFC 9051 6.2.1). ImapError when more came than the
        answer: somebody has put it there, to be taken for what came under TLS.
        """
        if not self._answers.is_clear:
            raise ImapError("the server, or who stands between, said something before TLS had begun")
        self.capabilities = frozenset()

    def _ended(self, status: Status) -> None:
        if status.code == "CAPABILITY":
            self._learn(tuple(status.about.split()))
        if status.tag == "*":
            return
        if status.tag not in self.under_way or status.kind in ("BYE", "PREAUTH"):
            raise ImapError(f"the server ends a command that was not given: {status.tag[:20]}")
        self.under_way.remove(status.tag)

    def _learn(self, words: tuple[Token, ...]) -> None:
        self.capabilities = frozenset(word.upper() for word in words[:_MOST_CAPABILITIES] if isinstance(word, str))


def quoted(octets: bytes) -> bytes:
    """A string as it stands in a command. ValueError where it would have to be a literal."""
    if any(octet in octets for octet in b"\0\r\n"):
        raise ValueError("no string of one line")
    return b'"%b"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _is_word(words: tuple[Token, ...], name: str) -> bool:
    return bool(words) and isinstance(words[0], str) and words[0].upper() == name
