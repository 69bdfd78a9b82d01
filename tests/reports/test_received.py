"""Reports of others: every dialect is read, every container opened, and what is hostile refused."""

import gzip
import io
import tracemalloc
import zipfile
from email.message import EmailMessage

import pytest

from engine.reports import unpacked as unpacking
from engine.reports.received import Record, Signature, Spf, parse
from engine.reports.unpacked import Unreadable, unpacked
from tests.reports.samples import GOOGLE, LATIN, MICROSOFT, PROVIDERS, RFC_9990, report


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_is_read(provider: str) -> None:
    found = parse(PROVIDERS[provider])
    assert found.domain == "example.com"
    assert found.org_name


def test_what_a_report_says() -> None:
    found = parse(GOOGLE)
    assert (found.org_name, found.email) == ("google.com", "noreply-dmarc-support@google.com")
    assert (found.identity, found.begin, found.end) == ("949348866075514174", 1700000000, 1700086399)
    assert found.policy == {"adkim": "r", "aspf": "r", "p": "none", "sp": "none", "pct": "100", "np": "none"}
    good, bad = found.records
    assert good == Record(
        "192.0.2.1", 7, "none", "pass", "fail", (), "example.com", "",
        (Signature("example.com", "s1", "pass"),), (Spf("bounce.example.net", "", "pass"),),
    )  # fmt: skip
    assert (good.passed, bad.passed, bad.signatures) == (True, False, ())


def test_reasons_errors_and_names_in_capitals() -> None:
    (record,) = parse(MICROSOFT).records
    assert record.reasons == ("local_policy: arc=pass as[1].d=example.org",)
    assert record.signatures == ()
    assert record.spf_results == (Spf("example.com", "mfrom", "fail"),)
    assert parse(RFC_9990).errors == ("Two records.",)


def test_nothing_that_a_terminal_would_obey() -> None:
    octets = GOOGLE.replace(b"google.com</org", "\x9b31m\u202egoogle</org".encode())
    assert parse(octets).org_name == "?31m?google"


def zipped(*files: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.mkdir("folder")
        for number, octets in enumerate(files):
            archive.writestr(f"folder/{number}.xml", octets)
    return packed.getvalue()


def mailed(octets: bytes, kind: str = "application/gzip") -> bytes:
    message = EmailMessage()
    message["Subject"] = "Report Domain: example.com Submitter: google.com Report-ID: <1>"
    message.set_content("A report is attached.")
    message.add_attachment(octets, *kind.split("/"), filename="report")
    return message.as_bytes()


def whole(octets: bytes) -> bytes:
    """A message that is the archive, as Google sends it."""
    message = EmailMessage()
    message["Subject"] = "Report domain: example.com Submitter: google.com Report-ID: 1"
    message.set_content(octets, "application", "zip", filename="google.com!example.com!1!2.zip")
    return message.as_bytes()


def forwarded(octets: bytes) -> bytes:
    import email
    import email.policy

    message = EmailMessage()
    message["Subject"] = "Fwd: report"
    message.set_content("See below.")
    message.add_attachment(email.message_from_bytes(octets, policy=email.policy.default))
    return message.as_bytes()


CONTAINERS = {
    "bare": GOOGLE,
    "gzip": gzip.compress(GOOGLE),
    "gzip twice": gzip.compress(gzip.compress(GOOGLE)),
    "zip": zipped(GOOGLE),
    "zip, stored": zipped(GOOGLE, method=zipfile.ZIP_STORED),
    "message": mailed(gzip.compress(GOOGLE)),
    "message, zip": mailed(zipped(GOOGLE), "application/octet-stream"),
    "message, bare": mailed(b"\n" + GOOGLE, "application/xml"),
    "message, CRLF": mailed(gzip.compress(GOOGLE)).replace(b"\n", b"\r\n"),
    "message that is a zip": whole(zipped(GOOGLE)),
    "forwarded message": forwarded(mailed(gzip.compress(GOOGLE))),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_is_opened(container: str) -> None:
    assert [octets.strip() for octets in unpacked(CONTAINERS[container])] == [GOOGLE.strip()]


def test_an_archive_of_several() -> None:
    assert unpacked(zipped(GOOGLE, MICROSOFT)) == [GOOGLE, MICROSOFT]


BOMB = 200 * 2**20
ENTITIES = b"<!DOCTYPE feedback [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]>"
OUTSIDE = b"<!DOCTYPE feedback [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"
BAD_FILES = {
    "nothing": (b"", "holds no XML"),
    "noise": (b"\0\1\2" * 100, "holds no XML"),
    "text": (b"Dear all,\n\nthe report is late.\n", "holds no XML"),
    "a message without a report": (mailed(b"\0", "image/png"), "holds no XML"),
    "a gzip bomb": (gzip.compress(bytes(BOMB)), "a bomb"),
    "a gzip bomb within gzip": (gzip.compress(gzip.compress(bytes(BOMB))), "a bomb"),
    "a gzip that ends too early": (gzip.compress(GOOGLE)[:20], "holds no XML"),
    "a damaged gzip": (b"\x1f\x8b" + bytes(100), "gzip is damaged"),
    "a zip bomb": (zipped(bytes(BOMB)), "a bomb"),
    "a zip bomb of many files": (zipped(*[bytes(2**20)] * 80), "a bomb"),
    "a zip packed in a rare way": (zipped(GOOGLE, method=zipfile.ZIP_BZIP2), "a rare way"),
    "a zip whose files lie before its begin": (zipped(GOOGLE)[:-6] + b"\xff\xff\xff\x7f\0\0", "archive is damaged"),
    "a damaged zip": (zipped(GOOGLE)[:-30], "zip archive is damaged"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_are_no_reports_take_bounded_memory(case: str) -> None:
    octets, text = BAD_FILES[case]
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match=text):
            unpacked(octets)
        assert tracemalloc.get_traced_memory()[1] < 4 * unpacking.LIMIT
    finally:
        tracemalloc.stop()


BAD_XML = {
    "another document": (b"<html><body/></html>", "begins with html"),
    "an end too early": (GOOGLE[:300], "XML is broken"),
    "no head": (b"<feedback></feedback>", "report_metadata"),
    "no number": (GOOGLE.replace(b"<count>7<", b"<count>many<"), "'many' stands"),
    "entities": (ENTITIES + GOOGLE, "document type"),
    "entities from outside": (OUTSIDE + GOOGLE, "document type"),
    "a deep tree": (b"<feedback>" + b"<a>" * 200_000, "elements"),
    "a wide record": (report("", "", "<row/>" * 20_000), "elements"),
}


@pytest.mark.parametrize("case", BAD_XML)
def test_xml_that_is_no_report(case: str) -> None:
    octets, text = BAD_XML[case]
    with pytest.raises(Unreadable, match=text):
        parse(octets)


def test_too_many_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.reports.received.RECORDS", 1)
    with pytest.raises(Unreadable, match="more than 1 records"):
        parse(GOOGLE)


def test_a_name_in_another_charset_than_the_document_says_is_repaired() -> None:
    assert parse(PROVIDERS["latin-1 that says UTF-8"]).org_name == "Caf\ufffd"
    assert parse(PROVIDERS["latin-1 that says so"]).org_name == parse(LATIN).org_name == "Caf\xe9"
