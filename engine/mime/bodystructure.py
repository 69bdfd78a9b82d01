"""BODY and BODYSTRUCTURE of a message, ready to be sent (RFC 9051 7.5.2)."""

from engine.mime.parameters import Parameters, continued
from engine.mime.part import NO_DETAILS, Part
from engine.mime.rendering import nstring, string


def body(part: Part) -> bytes:
    """What FETCH BODY answers: without extension data."""
    return _rendered(part, is_extended=False)


def bodystructure(part: Part) -> bytes:
    """What FETCH BODYSTRUCTURE answers: with MD5, disposition, language and location."""
    return _rendered(part, is_extended=True)


def _rendered(part: Part, *, is_extended: bool) -> bytes:
    if part.parts and not part.parts[0].envelope:
        inner = b"".join([_rendered(inner, is_extended=is_extended) for inner in part.parts])
        basic = b"%b %b" % (inner, string(part.subtype))
        return (
            b"(%b %b%b)" % (basic, _parameters(part.parameters), _extension(part)) if is_extended else b"(%b)" % basic
        )
    details = part.details or NO_DETAILS
    basic = b"%b %b %b %b %b %b %d" % (
        string(part.type),
        string(part.subtype),
        _parameters(part.parameters),
        nstring(details.id),
        nstring(details.description),
        string(part.encoding),
        part.size,
    )
    if part.parts:
        (message,) = part.parts
        inner = _rendered(message, is_extended=is_extended)
        basic = b"%b %b %b %d" % (basic, message.envelope, inner, part.lines)
    elif part.type.lower() == b"text":
        basic = b"%b %d" % (basic, part.lines)
    return b"(%b %b%b)" % (basic, nstring(details.md5), _extension(part)) if is_extended else b"(%b)" % basic


def _extension(part: Part) -> bytes:
    """Disposition, language and location."""
    details = part.details
    if details is None:
        return b" NIL NIL NIL"
    disposition, language = b"NIL", b"NIL"
    if details.disposition:
        disposition = b"(%b %b)" % (string(details.disposition), _parameters(details.disposition_parameters))
    if len(details.language) == 1:
        language = string(details.language[0])
    elif details.language:
        language = b"(%b)" % b" ".join([string(tag) for tag in details.language])
    return b" %b %b %b" % (disposition, language, nstring(details.location))


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return b"NIL"
    return b"(%b)" % b" ".join([string(text) for pair in continued(parameters) for text in pair])
