"""The parts of a message (RFC 2045, RFC 2046): where they are and what their headers say."""

from collections.abc import Iterator

from msgspec import Struct

from engine.mime.parameters import Parameters, parameter


class Details(Struct, frozen=True, array_like=True, gc=False):
    """What few parts have, unfolded and as it was sent; empty where it is absent."""

    id: bytes = b""  # Content-ID
    description: bytes = b""
    md5: bytes = b""
    disposition: bytes = b""
    disposition_parameters: Parameters = ()
    language: tuple[bytes, ...] = ()
    location: bytes = b""


NO_DETAILS = Details()


class Part(Struct, frozen=True, array_like=True, gc=False):
    """A part, or the whole message. Offsets count octets from the first of the message.

    The header section is ``start:body``, the empty line at its end included; the body is ``body:end``. ``lines`` counts
    the line ends in the body. A multipart has ``parts``, a message/rfc822 or message/global has one: the message in it.
    Any message, the whole or one inside, has its ``envelope`` as IMAP sends it. A part that can not be opened (it is
    too deep, has no boundary, is encoded) is a leaf, and its type is one of a leaf.
    """

    start: int
    body: int
    end: int
    lines: int
    type: bytes = b"text"
    subtype: bytes = b"plain"
    parameters: Parameters = ()
    encoding: bytes = b"7bit"
    parts: "tuple[Part, ...]" = ()
    envelope: bytes = b""
    details: Details | None = None

    @property
    def size(self) -> int:
        """Octets of the body."""
        return self.end - self.body

    @property
    def media(self) -> bytes:
        """``type/subtype`` in lower case."""
        return (self.type + b"/" + self.subtype).lower()

    @property
    def is_multipart(self) -> bool:
        return self.type.lower() == b"multipart"

    @property
    def charset(self) -> str:
        """The charset that the part names; empty where it names none."""
        return parameter(self.parameters, b"charset").decode("ascii", "replace")

    @property
    def is_attachment(self) -> bool:
        return self.details is not None and self.details.disposition.lower() == b"attachment"

    def walk(self) -> Iterator["Part"]:
        """This part and all in it, in the order of the message."""
        yield self
        for part in self.parts:
            yield from part.walk()
