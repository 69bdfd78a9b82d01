"""Aggregate reports as they come by mail, about whom and when a test wants; and hostile ones."""

import gzip
import io
import time
import zipfile
from email.message import EmailMessage

DAY = 86_400
YESTERDAY = int(time.time()) // DAY * DAY - DAY

Row = tuple[str, int, str, str, str]
"""Source, count, disposition, dkim and spf."""

ROWS: tuple[Row, ...] = (("192.0.2.1", 7, "none", "pass", "fail"), ("2001:db8::9", 2, "quarantine", "fail", "fail"))


def aggregate(
    domain: str = "example.org", *, org: str = "google.com", identity: str = "1", begin: int = YESTERDAY,
    end: int | None = None, rows: tuple[Row, ...] = ROWS,
) -> bytes:  # fmt: skip
    """One that says this."""
    records = "".join(
        f"<record><row><source_ip>{source}</source_ip><count>{count}</count><policy_evaluated><disposition>{disposition}"
        f"</disposition><dkim>{dkim}</dkim><spf>{spf}</spf></policy_evaluated></row><identifiers><header_from>{domain}"
        f"</header_from></identifiers><auth_results><dkim><domain>{domain}</domain><result>{dkim}</result></dkim>"
        f"<spf><domain>bounce.example</domain><result>{spf}</result></spf></auth_results></record>"
        for source, count, disposition, dkim, spf in rows
    )
    last = begin + DAY - 1 if end is None else end
    return (
        f'<?xml version="1.0"?><feedback><report_metadata><org_name>{org}</org_name><email>x@{org}</email>'
        f"<report_id>{identity}</report_id><date_range><begin>{begin}</begin><end>{last}</end></date_range>"
        f"</report_metadata><policy_published><domain>{domain}</domain><p>quarantine</p></policy_published>"
        f"{records}</feedback>"
    ).encode()


def zipped(octets: bytes, name: str = "report.xml") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, octets)
    return file.getvalue()


def mailed(octets: bytes, kind: str = "gzip") -> bytes:
    """As it comes (RFC 7489 7.2.1.1)."""
    message = EmailMessage()
    message["From"] = "noreply-dmarc-support@google.com"
    message["To"] = "dmarc@example.org"
    message["Subject"] = "Report domain: example.org Submitter: google.com Report-ID: 1"
    message.set_content("This is an aggregate report.")
    packed = {"gzip": gzip.compress, "zip": zipped, "xml": bytes}[kind](octets)
    message.add_attachment(packed, maintype="application", subtype=kind, filename=f"google.com!example.org.{kind}")
    return message.as_bytes()


def nested(octets: bytes, times: int) -> bytes:
    for _ in range(times):
        octets = zipped(octets)
    return octets


BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE feedback [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><feedback><report_metadata><org_name>&j;</org_name></report_metadata></feedback>"
).encode()
OUTSIDE = (
    b'<?xml version="1.0"?><!DOCTYPE feedback [<!ENTITY x SYSTEM "file:///etc/passwd">]><feedback><report_metadata>'
    b"<org_name>&x;</org_name></report_metadata></feedback>"
)
PARAMETERS = b'<!DOCTYPE feedback SYSTEM "http://127.0.0.1:1/x.dtd"><feedback/>'
DEEP = b"<feedback><report_metadata>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</report_metadata></feedback>"

HOSTILE: dict[str, tuple[bytes, str]] = {
    "a bomb in gzip": (mailed(b"<feedback>" + b" " * (40 * 2**20)), "a bomb, and no report"),
    "a bomb in zip": (mailed(b"<feedback>" + b" " * (40 * 2**20), "zip"), "a bomb, and no report"),
    "archives in archives": (mailed(nested(aggregate(), 6), "zip"), "it holds no XML"),
    "entities that grow": (mailed(BILLION_LAUGHS), "it declares a document type"),
    "a file of ours": (mailed(OUTSIDE), "it declares a document type"),
    "a definition elsewhere": (mailed(PARAMETERS), "it declares a document type"),
    "deep elements": (mailed(DEEP), "more than 10000 elements"),
    "about another domain": (mailed(aggregate("victim.example")), "it is about victim.example, which is not here"),
    "about a domain that ends alike": (mailed(aggregate("evilexample.org")), "evilexample.org, which is not here"),
    "about a top domain": (mailed(aggregate("org")), "it is about org, which is not here"),
    "about nobody": (mailed(aggregate("")), "it is about no domain"),
    "a name as a source": (mailed(aggregate(rows=(("evil.example", 1, "none", "fail", "fail"),))), "an address"),
    "a number below nothing": (
        mailed(aggregate(rows=(("192.0.2.1", -4, "none", "fail", "fail"),))), "there should be a number"
    ),
    "a time that runs backwards": (mailed(aggregate(begin=YESTERDAY, end=YESTERDAY - 9)), "a time that cannot be"),
    "a whole century": (mailed(aggregate(begin=1, end=YESTERDAY)), "a time that cannot be"),
    "no report at all": (mailed(b"<html></html>"), "it begins with html"),
    "a damaged archive": (mailed(aggregate(), "zip").replace(b"UEsD", b"UEsE"), "it holds no XML"),
}  # fmt: skip
"""What a stranger may send, and why it is not read."""
