"""What the content fields of a part say (RFC 2045, 1864, 2183, 2557, 3282), and what holds where they say nothing."""

from typing import NamedTuple

from engine.mime.fields import Fields, unfolded
from engine.mime.parameters import Parameters, media_type, token_and_parameters, without_comments
from engine.mime.part import Details

MESSAGES = {(b"message", b"rfc822"), (b"message", b"global")}
"""Types whose body is a message that is opened."""

ENCODINGS = {b"7bit", b"8bit", b"binary"}
"""Encodings that leave the body as it is (RFC 2045 6.2)."""

_NAMES = {
    b"content-type", b"content-transfer-encoding", b"content-id", b"content-description", b"content-md5",
    b"content-disposition", b"content-language", b"content-location",
}  # fmt: skip


class Content(NamedTuple):
    """As the fields have it, in their case of letters."""

    type: bytes
    subtype: bytes
    parameters: Parameters = ()
    encoding: bytes = b"7bit"
    details: Details | None = None


TEXT = Content(b"text", b"plain", ((b"charset", b"us-ascii"),))  # RFC 2045 5.2
MESSAGE = Content(b"message", b"rfc822")  # within multipart/digest, RFC 2046 5.1.5
OCTETS = Content(b"application", b"octet-stream")


def content(found: Fields, default: Content) -> Content:
    """What a header section says; of fields that come twice the first counts."""
    values: dict[bytes, bytes] = {}
    for name, value in found:
        if name[:8] in {b"Content-", b"content-", b"CONTENT-"} or name[:8].lower() == b"content-":
            key = name.lower()
            if key in _NAMES:
                values.setdefault(key, unfolded(value))
    if not values:
        return default
    written = values.pop(b"content-type", b"")
    kind = media_type(written) if written else None
    if kind is None:
        kind = (TEXT if written else default)[:3]
    encoding = without_comments(values.pop(b"content-transfer-encoding", b"")).strip(b" \t;\"'")
    return Content(*kind, encoding or b"7bit", _details(values) if values else None)


def _details(values: dict[bytes, bytes]) -> Details:
    disposition, parameters = token_and_parameters(values.get(b"content-disposition", b""))
    language = without_comments(values.get(b"content-language", b""))
    return Details(
        id=values.get(b"content-id", b""),
        description=values.get(b"content-description", b""),
        md5=values.get(b"content-md5", b""),
        disposition=disposition,
        disposition_parameters=parameters,
        language=tuple([tag for piece in language.split(b",") if (tag := piece.strip())]),
        location=values.get(b"content-location", b""),
    )
