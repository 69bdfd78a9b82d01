"""What full-text search is asked, and what it answers."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from engine.index.layout import Mark


@dataclass(frozen=True, slots=True)
class Text:
    """A text that messages are searched for, as SEARCH has it (RFC 9051 6.4.4): a part of a word will do.

    It is found where ``engine.mime.search.folded`` has it in ``folded`` text: of ``body_texts``, or of a line of
    ``header_lines``, the heading's too.
    """

    text: str
    header: bool = True  # TEXT: in the header section too; else BODY


@dataclass(frozen=True, slots=True)
class Found:
    """What the index says of one account. Of messages that it does not know yet it says nothing: look at them."""

    sure: Set[bytes] = frozenset()  # keys of the contents that have the text
    unsure: Set[bytes] = frozenset()  # keys of those that may have it: look at them; all others do not have it
    marks: Mapping[int, Mark] = field(default_factory=dict)  # by mailbox

    def known(self, mailbox: int, uidvalidity: int) -> int:
        """The UID in a mailbox up to which the index knows all messages; 0: none."""
        mark = self.marks.get(mailbox)
        return mark.uid if mark is not None and mark.uidvalidity == uidvalidity else 0
