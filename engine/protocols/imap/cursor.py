"""The tokens of a command (RFC 9051 9, RFC 3501 9): a place in its octets, and what can be read there."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Final, TypeVar

from msgspec import Struct

from engine.protocols.imap import dates, names, sets
from engine.protocols.imap.sets import SequenceSet

T = TypeVar("T")

SYSTEM_FLAGS: Final = {flag.upper(): flag for flag in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")}

NUMBER64: Final = 2**63 - 1
"""The largest size or mod-sequence (RFC 9051 9 number64, RFC 7162 7)."""


class Limits(Struct, frozen=True):
    """What one command may have. RFC 7162 4 wants lines of 8,192 octets; long sets of UIDs need more."""

    line: int = 65_536  # octets of its lines together
    literal: int = 65_536  # octets of literals together, the content of messages not counted
    whole: int = 1024 * 1024  # a message with fewer octets is given out whole: events cost more than to hold it
    literals: int = 1000  # of them: at each, all that has come is looked at
    arguments: int = 10_000  # values
    depth: int = 100  # parentheses, NOT and OR within one another


LIMITS: Final = Limits()


class Malformed(Exception):
    """The command is refused: BAD unless ``status`` says NO. ``code`` is a response code without its brackets."""

    def __init__(self, text: str, *, code: bytes = b"", status: bytes = b"BAD") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.status = status


class Incomplete(Malformed):
    """The octets end where a string should begin."""


_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]++')
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]++')
_LIST_MAILBOX = re.compile(rb'[^\x00-\x20\x7f(){"\\]++')
_QUOTED = re.compile(rb'"((?>(?:[^"\\\r\n\x00]++|\\["\\])*))"')
_ESCAPED = re.compile(rb"\\(.)")
_LITERAL = re.compile(rb"(~?)\{([0-9]{1,20})\+?\}\r\n")
_NUMBER = re.compile(rb"[0-9]{1,20}")
_FLAG = re.compile(rb'\\?+[^\x00-\x20\x7f-\xff(){%*"\\\]]++')
_WORD = re.compile(rb"[A-Za-z0-9.=-]++")


class Cursor:
    """A place in the octets of one command, literals and all. Each method reads something and goes behind it.

    ``features`` are what the client has enabled. All raise Malformed.
    """

    __slots__ = ("_arguments", "_depth", "_octets", "condstore", "features", "position", "utf8")

    def __init__(
        self, octets: bytes, position: int = 0, *, features: frozenset[str] = frozenset(), limits: Limits = LIMITS
    ) -> None:
        self._octets = octets
        self.position = position
        self.features = features
        self.utf8 = bool(features & {"IMAP4rev2", "UTF8=ACCEPT"})
        self.condstore = False  # the command was one that enables CONDSTORE (RFC 7162 3.1)
        self._arguments = limits.arguments
        self._depth = limits.depth

    # Places.

    @property
    def at_end(self) -> bool:
        return self.position == len(self._octets)

    def end(self) -> None:
        """Nothing more; some clients put a space there."""
        if self._octets[self.position :].strip(b" "):
            raise Malformed("There is more than the command takes")

    def pass_over(self) -> None:
        """Whatever there is more."""
        self.position = len(self._octets)

    def sees(self, octets: bytes) -> bool:
        return self._octets.startswith(octets, self.position)

    def accept(self, octets: bytes) -> bool:
        """Goes behind these octets if they are what comes next."""
        found = self._octets.startswith(octets, self.position)
        if found:
            self.position += len(octets)
        return found

    def sees_match(self, pattern: re.Pattern[bytes]) -> bool:
        return pattern.match(self._octets, self.position) is not None

    def sees_word(self, word: bytes) -> bool:
        """Whether these letters come next, in any case; ``word`` is in capitals."""
        return self._octets[self.position : self.position + len(word)].upper() == word

    def accept_word(self, word: bytes) -> bool:
        """Goes behind these letters if they come next, in any case."""
        found = self.sees_word(word)
        if found:
            self.position += len(word)
        return found

    def expect(self, octets: bytes) -> None:
        if not self.accept(octets):
            raise Malformed(f"{octets.decode('ascii')} is missing")

    def space(self) -> None:
        if not self.accept(b" "):
            raise Malformed("An argument is missing" if self.at_end else "A space is missing")

    def require(self, feature: str) -> None:
        if feature not in self.features:
            raise Malformed(f"ENABLE {feature} comes first")

    # Values.

    def match(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        """What this pattern finds here; ``what`` names it for the client."""
        found = pattern.match(self._octets, self.position)
        if found is None:
            raise Malformed(f"{what} is missing or malformed")
        self._count()
        self.position = found.end()
        return found

    def atom(self, what: str = "An atom") -> str:
        return self.match(_ATOM, what)[0].decode("ascii")

    def word(self, what: str = "A keyword") -> str:
        """Letters, digits and ``.=-``, in capitals."""
        return self.match(_WORD, what)[0].decode("ascii").upper()

    def astring(self, what: str = "A string") -> bytes:
        found = _ASTRING.match(self._octets, self.position)
        if found is None:
            return self.string(what)
        self._count()
        self.position = found.end()
        return found[0]

    def string(self, what: str = "A string", *, binary: bool = False) -> bytes:
        """A quoted string or a literal, a literal8 too where ``binary``."""
        if self.at_end:
            raise Incomplete(f"{what} is missing")
        if self.sees(b'"'):
            quoted = self.match(_QUOTED, what)[1]
            return _ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        literal = self.match(_LITERAL, what)
        end = self.position + int(literal[2])
        octets = self._octets[self.position : end]
        if (literal[1] and not binary) or (not literal[1] and b"\0" in octets):
            raise Malformed(f"{what} holds octets that it cannot hold")
        self.position = end
        return octets

    def nstring(self, what: str = "A string", *, binary: bool = False) -> bytes | None:
        return None if self.accept_word(b"NIL") else self.string(what, binary=binary)

    def text(self, what: str = "A string") -> str:
        """An astring in UTF-8."""
        return decoded(self.astring(what), what)

    def number(self, what: str = "A number", *, least: int = 0, most: int = NUMBER64) -> int:
        value = int(self.match(_NUMBER, what)[0])
        if not least <= value <= most:
            raise Malformed(f"{what} is out of range")
        return value

    def mailbox(self) -> str:
        return self._named(self.astring("A mailbox name"))

    def list_mailbox(self) -> str:
        """A name with wildcards."""
        found = _LIST_MAILBOX.match(self._octets, self.position)
        return self._named(
            self.match(_LIST_MAILBOX, "A mailbox name")[0] if found else self.string("A mailbox name"),
        )

    def sequence_set(self, *, uid: bool) -> SequenceSet:
        """Message numbers, or UIDs. With UIDONLY there are no numbers (RFC 9586 3.2)."""
        if not uid and "UIDONLY" in self.features:
            raise Malformed("With UIDONLY there are no message numbers", code=b"UIDREQUIRED")
        found = sets.read(self.match(sets.PATTERN, "A set of messages")[0])
        if found is None:
            raise Malformed("A number of a message is out of range")
        return found

    def date(self) -> date:
        found = dates.parse_date(self.astring("A date"))
        if found is None:
            raise Malformed("A date is like 1-Feb-1994")
        return found

    def date_time(self) -> datetime:
        found = dates.parse_date_time(self.string("A date and time"))
        if found is None:
            raise Malformed('A date and time is like "17-Jul-1996 02:44:25 -0700"')
        return found

    def flag(self) -> str:
        """A flag that a client may set: a system flag in its usual spelling, or a keyword as it is."""
        text = self.match(_FLAG, "A flag")[0].decode("ascii")
        if not text.startswith("\\"):
            return text
        if text.upper() not in SYSTEM_FLAGS:
            raise Malformed(f"{text} cannot be set")
        return SYSTEM_FLAGS[text.upper()]

    def flags(self) -> tuple[str, ...]:
        """A list in parentheses."""
        return self.items(self.flag, empty=True)

    def items(self, read: Callable[[], T], *, empty: bool = False) -> tuple[T, ...]:
        """What stands in parentheses, parted by spaces."""
        self.expect(b"(")
        if empty and self.accept(b")"):
            return ()
        with self.nested():
            found = [read()]
            while not self.accept(b")"):
                self.space()
                found.append(read())
        return tuple(found)

    def one_or_more(self, read: Callable[[], T]) -> tuple[T, ...]:
        """One, or several in parentheses."""
        return self.items(read) if self.sees(b"(") else (read(),)

    @contextmanager
    def nested(self) -> Iterator[None]:
        """One level deeper."""
        if not self._depth:
            raise Malformed("The command is nested too deeply")
        self._depth -= 1
        yield
        self._depth += 1

    def _count(self) -> None:
        if not self._arguments:
            raise Malformed("The command has too many arguments")
        self._arguments -= 1

    def _named(self, octets: bytes) -> str:
        name = names.decode(octets, utf8=self.utf8)
        if name is None:
            raise Malformed("The mailbox name is malformed", code=b"CANNOT", status=b"NO")
        return name


def decoded(octets: bytes, what: str = "A string") -> str:
    """Malformed unless it is UTF-8."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise Malformed(f"{what} is in UTF-8") from None
