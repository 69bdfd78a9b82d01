"""One message as the builder reads it: its row, and its words."""

from collections.abc import Iterable
from functools import cached_property

from engine.index.fulltext import Worded
from engine.index.row import Octets, Row, row_of
from engine.index.words import Words
from engine.mailbox import Mailboxes, MessageGone
from engine.mailbox.rows import MessageRow
from engine.mime.fields import fields
from engine.mime.search import body_texts, header_lines
from engine.observe.events import event
from engine.storage.environment import StorageError

PIECE = 64 * 1024
"""Octets that are read at once."""

SECTION = 256 * 1024
"""Octets of a header section of which the words are kept."""


class Letter:
    """The content of a message, which others may share."""

    def __init__(self, mailboxes: Mailboxes, account: int, mailbox: int, uid: int, message: MessageRow) -> None:
        self._mailboxes = mailboxes
        self._place = account, mailbox, uid
        self._message = message
        self.row: Row | None = None  # None: it cannot be had
        self.is_gone = False
        try:
            self._octets = Octets(mailboxes, message.content)
            self.row = row_of(self._octets, message.received / 1000)
        except MessageGone:
            self.is_gone = True
        except StorageError:
            raise
        except Exception as error:  # one message must not stop all others; whoever wants it reads it himself
            event.bug(f"digest of message {uid} of account {account}", error)

    def worded(self, heading: bytes) -> Worded:
        """Its words, for an account to which it came with that heading."""
        header, body, whole = self._words
        own = Words()
        _feed_header(own, heading)
        return Worded(self._message.content, header | own.end(), body, whole)

    @cached_property
    def _words(self) -> tuple[frozenset[str], frozenset[str], bool]:
        """Of the header section, of the body, and whether these are all."""
        header, body = Words(), Words()
        if self.row is None:
            return frozenset(), frozenset(), False
        message = self.row.digest.message
        try:
            _feed_header(header, b"".join(self._between(0, min(message.body, SECTION))))
            for piece in body_texts(message, self._between):
                body.feed(piece)
        except MessageGone:
            return frozenset(), frozenset(), False
        except StorageError:
            raise
        except Exception as error:  # as above
            event.bug(f"words of message {self._place[2]} of account {self._place[0]}", error)
            return frozenset(), frozenset(), False
        return header.end(), body.end(), header.whole and body.whole and message.body <= SECTION

    def _between(self, start: int, end: int) -> Iterable[bytes]:
        if self._octets.held is not None:
            yield self._octets.held[start:end]
            return
        account, mailbox, uid = self._place
        skip = len(self._message.heading)
        for at in range(start, end, PIECE):
            yield self._mailboxes.part(account, mailbox, uid, skip + at, min(PIECE, end - at))


def _feed_header(words: Words, section: bytes) -> None:
    words.feed("\n".join(header_lines(fields(section))) + "\n")
