"""Reports on TLS as others write them, each with its own ways."""

from email.message import EmailMessage
from gzip import compress
from typing import Any

RFC_8460: dict[str, Any] = {
    "organization-name": "Company-X",
    "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
    "contact-info": "sts-reporting@company-x.example",
    "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
    "policies": [
        {
            "policy": {
                "policy-type": "sts",
                "policy-string": [
                    "version: STSv1",
                    "mode: testing",
                    "mx: *.mail.company-y.example",
                    "max_age: 86400",
                ],
                "policy-domain": "company-y.example",
                "mx-host": ["*.mail.company-y.example"],
            },
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
            "failure-details": [
                {
                    "result-type": "certificate-expired",
                    "sending-mta-ip": "2001:db8:abcd:0012::1",
                    "receiving-mx-hostname": "mx1.mail.company-y.example",
                    "failed-session-count": 100,
                },
                {
                    "result-type": "starttls-not-supported",
                    "sending-mta-ip": "2001:db8:abcd:0013::1",
                    "receiving-mx-hostname": "mx2.mail.company-y.example",
                    "receiving-ip": "203.0.113.56",
                    "failed-session-count": 200,
                    "additional-information": "https://reports.company-x.example/report_info ? id = 5065427 c - 23 d3",
                },
                {
                    "result-type": "validation-failure",
                    "sending-mta-ip": "198.51.100.62",
                    "receiving-ip": "203.0.113.58",
                    "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                    "failed-session-count": 3,
                    "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                },
            ],
        }
    ],
}
"""The example of RFC 8460, Appendix B."""

GOOGLE: dict[str, Any] = {
    "organization-name": "Google Inc.",
    "date-range": {"start-datetime": "2026-11-27T00:00:00Z", "end-datetime": "2026-11-27T23:59:59Z"},
    "contact-info": "smtp-tls-reporting@google.com",
    "report-id": "2026-11-27T00:00:00Z_example.org",
    "policies": [
        {
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: enforce", "max_age: 604800", "mx: mx.example.org"],
                "policy-domain": "example.org",
                "mx-host": ["mx.example.org"],
            },
            "summary": {"total-successful-session-count": 12, "total-failure-session-count": 0},
        }
    ],
}
MICROSOFT: dict[str, Any] = {
    "organization-name": "Microsoft Corporation",
    "date-range": {"start-datetime": "2026-11-27T00:00:00Z", "end-datetime": "2026-11-27T23:59:59Z"},
    "contact-info": "tlsrpt-noreply@microsoft.com",
    "report-id": "133456789012345678+example.org",
    "policies": [
        {
            "policy": {"policy-type": "no-policy-found", "policy-string": [], "policy-domain": "Example.org."},
            "summary": {"total-successful-session-count": 7, "total-failure-session-count": 2},
            "failure-details": [
                {
                    "result-type": "starttls-not-supported",
                    "failed-session-count": 2,
                    "receiving-mx-hostname": "mx.example.org",
                }
            ],
        }
    ],
}  # fmt: skip
OLD: dict[str, Any] = {  # texts for numbers and for lists, and a name that a draft had
    "organization-name": "Old",
    "date-range": {"start-datetime": "2026-11-27T00:00:00", "end-datetime": "2026-11-27T23:59:59+00:00"},
    "contact-info": None,
    "report-id": 17,
    "policies": [
        {
            "policy": {
                "policy-type": "TLSA",
                "policy-string": "3 1 1 ab",
                "policy-domain": "example.org",
                "mx-host-pattern": "mx.example.org",
            },
            "summary": {"total-successful-session-count": "4", "total-failure-session-count": 1.0},
            "failure-details": {"result-type": "Validation-Failure", "failed-session-count": "1"},
        },
        "what is this",
    ],
}


def mailed(packed: bytes, kind: str = "tlsrpt+gzip", to: str = "tls@example.org") -> bytes:
    """As it comes by mail."""
    message = EmailMessage()
    message["From"] = "noreply-smtp-tls-reporting@google.com"
    message["To"] = to
    message["Subject"] = "Report Domain: example.org Submitter: google.com Report-ID: <1@google.com>"
    message["TLS-Report-Domain"] = "example.org"
    message["TLS-Report-Submitter"] = "google.com"
    message.set_content("A report on TLS.\n")
    message.add_attachment(packed, maintype="application", subtype=kind, filename="google.com!example.org!1!2.json.gz")
    message.set_type("multipart/report")
    message.set_param("report-type", "tlsrpt")
    return message.as_bytes().replace(b"\n", b"\r\n")


def as_mail(report: dict[str, Any]) -> bytes:
    """In gzip, in a message."""
    import json

    return mailed(compress(json.dumps(report).encode()))
