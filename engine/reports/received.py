"""Reads DMARC aggregate reports, whoever wrote them: RFC 9990, RFC 7489, and what providers make of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from engine.reports.unpacked import Unreadable

RECORDS = 100_000
"""Records of one report that are read."""

ELEMENTS = 10_000
"""Elements of one record, or of the head: some hundred signatures at most have five each."""

LONGEST = 255
"""Characters of a value that are kept."""

# Several providers have put this before the root, and never end it.
_STRAY_SCHEMA = re.compile(rb"<xs:schema\b[^>]*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Signature:
    domain: str
    selector: str
    result: str


@dataclass(frozen=True, slots=True)
class Spf:
    domain: str
    scope: str
    result: str


@dataclass(frozen=True, slots=True)
class Record:
    """Messages from one source with the same results. ``dkim`` and ``spf`` are those of DMARC: "pass", "fail"."""

    source: str
    count: int
    disposition: str
    dkim: str
    spf: str
    reasons: tuple[str, ...]
    header_from: str
    envelope_from: str
    signatures: tuple[Signature, ...]
    spf_results: tuple[Spf, ...]

    @property
    def passed(self) -> bool:
        return "pass" in (self.dkim, self.spf)


@dataclass(frozen=True, slots=True)
class Report:
    """What one provider says about the mail of one domain. ``begin`` and ``end`` are Unix times in seconds."""

    org_name: str
    email: str
    identity: str
    begin: int
    end: int
    domain: str
    policy: dict[str, str]  # the tags of the policy record
    errors: tuple[str, ...]
    records: tuple[Record, ...]


def parse(octets: bytes) -> Report:
    """The report in an XML document. Unreadable. Takes bounded memory, and never looks at anything outside."""
    whole = _STRAY_SCHEMA.sub(b"", octets[:4096].lstrip(), count=1) + octets[4096:]
    try:
        reading = _read(whole)
    except expat.ExpatError as error:
        if "invalid token" not in str(error):
            raise Unreadable(f"its XML is broken: {error}") from error
        reading = _read_repaired(whole)
    head = reading.head
    if "report_metadata" not in head or "policy_published" not in head:
        raise Unreadable("it is no aggregate report: report_metadata or policy_published is missing")
    metadata, published = head["report_metadata"], head["policy_published"]
    return Report(
        org_name=_text(metadata, "org_name"),
        email=_text(metadata, "email"),
        identity=_text(metadata, "report_id"),
        begin=_number(_text(metadata, "date_range/begin")),
        end=_number(_text(metadata, "date_range/end")),
        domain=_text(published, "domain").lower().rstrip("."),
        policy={child.tag: _printable(child.text) for child in published if child.tag != "domain" and child.text},
        errors=tuple(_printable(error.text) for error in metadata.findall("error")),
        records=tuple(reading.records),
    )


def _read(octets: bytes) -> "_Reading":
    reading = _Reading()
    reading.feed(octets)
    return reading


def _read_repaired(octets: bytes) -> "_Reading":
    """What the charset that the document names does not have is replaced: some name one and write in another."""
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", octets.decode("utf-8", "replace"))
    try:
        return _read(text.encode())
    except expat.ExpatError as error:
        raise Unreadable(f"its XML is broken: {error}") from error


class _Reading:
    """Takes what stands right below the root one by one, so that memory holds no tree of all."""

    def __init__(self) -> None:
        self.head: dict[str, Element] = {}
        self.records: list[Record] = []
        self._depth = 0
        self._elements = 0
        self._builder = TreeBuilder()

    def feed(self, octets: bytes) -> None:
        """ExpatError, Unreadable."""
        parser = expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.StartDoctypeDeclHandler = _refuse  # and with it every entity that is not XML's own
        parser.Parse(octets, True)

    def _start(self, name: str, _: object) -> None:
        local = name.rpartition("}")[2]
        self._depth += 1
        self._elements += 1
        if self._depth == 1 and local != "feedback":
            raise Unreadable(f"it is no aggregate report: it begins with {_printable(local)}")
        if self._elements > ELEMENTS:
            raise Unreadable(f"a record has more than {ELEMENTS} elements")
        if self._depth == 2:
            self._builder, self._elements = TreeBuilder(), 0
        if self._depth >= 2:
            self._builder.start(local, {})

    def _data(self, text: str) -> None:
        if self._depth >= 2:
            self._builder.data(text)

    def _end(self, name: str) -> None:
        if self._depth >= 2:
            self._builder.end(name.rpartition("}")[2])
        if self._depth == 2:
            element = self._builder.close()
            if element.tag != "record":
                self.head.setdefault(element.tag, element)
            elif len(self.records) < RECORDS:
                self.records.append(_record(element))
            else:
                raise Unreadable(f"it has more than {RECORDS} records")
        self._depth -= 1


def _refuse(*_: object) -> None:
    raise Unreadable("it declares a document type, which no report needs and a bomb does")


def _record(record: Element) -> Record:
    return Record(
        source=_text(record, "row/source_ip"),
        count=_number(_text(record, "row/count")),
        disposition=_text(record, "row/policy_evaluated/disposition").lower(),
        dkim=_text(record, "row/policy_evaluated/dkim").lower(),
        spf=_text(record, "row/policy_evaluated/spf").lower(),
        reasons=tuple(_reasons(record)),
        header_from=_text(record, "identifiers/header_from").lower(),
        envelope_from=_text(record, "identifiers/envelope_from").lower(),
        signatures=tuple(
            Signature(_text(each, "domain").lower(), _text(each, "selector"), _text(each, "result").lower())
            for each in record.findall("auth_results/dkim")
            if _text(each, "domain")
        ),
        spf_results=tuple(
            Spf(_text(each, "domain").lower(), _text(each, "scope").lower(), _text(each, "result").lower())
            for each in record.findall("auth_results/spf")
            if _text(each, "domain")
        ),
    )


def _reasons(record: Element) -> Iterator[str]:
    for reason in record.findall("row/policy_evaluated/reason"):
        kind, comment = _text(reason, "type"), _text(reason, "comment")
        if kind or comment:
            yield f"{kind}: {comment}" if kind and comment else kind or comment


def _text(element: Element, path: str) -> str:
    return _printable(element.findtext(path))


def _printable(text: str | None) -> str:
    """On one line, and nothing that a terminal would obey."""
    words = " ".join((text or "").split())[:LONGEST]
    return "".join(character if character.isprintable() else "?" for character in words)


def _number(text: str) -> int:
    """A whole number; some write times with a fraction. Unreadable."""
    found = re.fullmatch(r"([0-9]{1,12})(?:\.[0-9]*)?", text)
    if not found:
        raise Unreadable(f"{text!r} stands where there should be a number")
    return int(found[1])
