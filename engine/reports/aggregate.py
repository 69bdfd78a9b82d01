"""A DMARC aggregate report as XML (RFC 9990 2.1.1, Appendix A)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

from engine.reports.rows import Published, Row

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Metadata:
    """Who reports, and about when: ``begin`` and ``end`` in Unix time, both within the report."""

    org_name: str
    email: str
    contact: str
    identity: str
    begin: int
    end: int


def written(about: Metadata, published: Published, rows: Iterable[tuple[Row, int]]) -> bytes:
    """The XML. It takes some tenths of a millisecond for a row."""
    root = ElementTree.Element("feedback", xmlns=NAMESPACE)
    _add(root, "version", "1.0")
    _metadata(_add(root, "report_metadata"), about)
    _policy(_add(root, "policy_published"), published)
    for row, count in rows:
        _record(_add(root, "record"), row, count)
    ElementTree.indent(root)
    octets: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return octets + b"\n"


def _metadata(element: ElementTree.Element, about: Metadata) -> None:
    _add(element, "org_name", about.org_name)
    _add(element, "email", about.email)
    if about.contact:
        _add(element, "extra_contact_info", about.contact)
    _add(element, "report_id", about.identity)
    dates = _add(element, "date_range")
    _add(dates, "begin", str(about.begin))
    _add(dates, "end", str(about.end))
    _add(element, "generator", "Postroad")


def _policy(element: ElementTree.Element, published: Published) -> None:
    _add(element, "domain", published.domain)
    _add(element, "discovery_method", published.method)
    for name in ("p", "sp", "np", "fo", "adkim", "aspf", "testing"):
        _add(element, name, getattr(published, name))


def _record(element: ElementTree.Element, row: Row, count: int) -> None:
    found = _add(element, "row")
    _add(found, "source_ip", row.source)
    _add(found, "count", str(count))
    evaluated = _add(found, "policy_evaluated")
    _add(evaluated, "disposition", row.disposition)
    _add(evaluated, "dkim", "pass" if row.dkim else "fail")
    _add(evaluated, "spf", "pass" if row.spf else "fail")
    if row.reason:
        reason = _add(evaluated, "reason")
        _add(reason, "type", row.reason)
        _add(reason, "comment", row.comment)
    identifiers = _add(element, "identifiers")
    _add(identifiers, "header_from", row.header_from)
    _add(identifiers, "envelope_from", row.envelope_from)
    results = _add(element, "auth_results")
    for domain, selector, result in row.signatures:
        signature = _add(results, "dkim")
        _add(signature, "domain", domain)
        _add(signature, "selector", selector)
        _add(signature, "result", result)
    spf = _add(results, "spf")
    _add(spf, "domain", row.spf_domain)
    _add(spf, "scope", "mfrom")
    _add(spf, "result", row.spf_result)


def _add(parent: ElementTree.Element, name: str, text: str = "") -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name)
    if text:
        element.text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    return element
