"""The record that asks for reports on TLS (RFC 8460 3)."""

import pytest

from engine.protocols.tls_reporting import record_name, report_uris


def test_where_it_is() -> None:
    assert record_name("example.com") == "_smtp._tls.example.com"


@pytest.mark.parametrize(
    ("texts", "uris"),
    [
        ([b"v=TLSRPTv1; rua=mailto:reports@example.com"], "mailto:reports@example.com"),
        ([b"v=TLSRPTv1;rua=https://reporting.example.com/v1/tlsrpt;"], "https://reporting.example.com/v1/tlsrpt"),
        ([b"v=TLSRPTv1 ; x=1 ; rua = mailto:a@b.example , https://b.example/?a=1"], "mailto:a@b.example , https://b.example/?a=1"),
        ([b"v=spf1 -all", b"v=TLSRPTv1; rua=mailto:a@b.example"], "mailto:a@b.example"),
        ([b"v=TLSRPTv1; rua=mailto:a@b.example", b"v=TLSRPTv1; rua=mailto:c@b.example"], ""),  # of several none counts
        ([b"v=TLSRPTv11; rua=mailto:a@b.example"], ""),
        ([b"v=tlsrptv1; rua=mailto:a@b.example"], ""),
        ([b"v=TLSRPTv1"], ""),
        ([b"v=TLSRPTv1; ruat=x"], ""),
        ([b"v=TLSRPTv1;" + 5000 * b" " + b"rua=mailto:a@b.example"], ""),
        ([b"\xff"], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_where_reports_go(texts: list[bytes], uris: str) -> None:
    assert report_uris(texts) == uris
