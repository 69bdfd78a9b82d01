"""Reports of others on TLS: what they say in whatever way, and what is hostile refused."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reports import tls_received
from engine.reports import unpacked as unpacking
from engine.reports.tls_received import Failure, parse
from engine.reports.unpacked import NoReport, Unreadable, unpacked
from tests.reports.tls_samples import GOOGLE, MICROSOFT, OLD, RFC_8460, as_mail, mailed


def read(report: Any) -> tls_received.TlsReport:
    return parse(json.dumps(report).encode())


def test_the_example_of_the_rfc() -> None:
    report = read(RFC_8460)
    assert (report.org_name, report.contact) == ("Company-X", "sts-reporting@company-x.example")
    assert (report.identity, report.begin, report.end) == (
        "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
        1459468800,
        1459555199,
    )
    assert (report.domains, report.succeeded, report.failed) == (["company-y.example"], 5326, 303)
    (policy,) = report.policies
    assert (policy.type, policy.mx, len(policy.lines)) == ("sts", ("*.mail.company-y.example",), 4)
    assert [failure.count for failure in policy.failures] == [100, 200, 3]
    assert policy.failures[2] == Failure(
        "validation-failure", 3, "198.51.100.62", "mx-backup.mail.company-y.example",
        receiving_ip="203.0.113.58", reason="X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
    )  # fmt: skip


@pytest.mark.parametrize(("report", "succeeded", "failed"), [(GOOGLE, 12, 0), (MICROSOFT, 7, 2), (OLD, 4, 1)])
def test_every_way_of_writing_it(report: dict[str, Any], succeeded: int, failed: int) -> None:
    found = read(report)
    assert (found.domains, found.succeeded, found.failed) == (["example.org"], succeeded, failed)
    assert found.begin % 86_400 == 0


def test_texts_for_lists_and_numbers() -> None:
    found = read(OLD)
    (policy,) = found.policies
    assert (found.identity, found.contact) == ("17", "")
    assert (policy.type, policy.lines, policy.mx) == ("tlsa", ("3 1 1 ab",), ("mx.example.org",))
    assert policy.failures == (Failure("validation-failure", 1),)


@pytest.mark.parametrize(
    "packed",
    [
        as_mail,
        lambda report: json.dumps(report).encode(),
        lambda report: b"\xef\xbb\xbf \r\n" + json.dumps(report).encode(),
        lambda report: gzip.compress(json.dumps(report).encode()),
        lambda report: mailed(json.dumps(report).encode(), "tlsrpt+json"),
        lambda report: mailed(gzip.compress(json.dumps(report).encode()), "octet-stream"),
    ],
)
def test_however_it_is_packed(packed: Callable[[dict[str, Any]], bytes]) -> None:
    (octets,) = unpacked(packed(RFC_8460), "JSON")
    assert parse(octets) == read(RFC_8460)


def changed(**values: Any) -> dict[str, Any]:
    return GOOGLE | {key.replace("_", "-"): value for key, value in values.items()}


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ([], "policies or date-range is missing"),
        ({}, "policies or date-range is missing"),
        (changed(policies={}), "policies or date-range is missing"),
        (changed(date_range="today"), "policies or date-range is missing"),
        (changed(date_range={"start-datetime": "yesterday"}), "'yesterday' stands where there should be a time"),
        (changed(date_range={"start-datetime": "9999-99-99T00:00:00Z"}), "should be a time"),
        (changed(policies=[{}] * 1001), "more than 1000 policies"),
        (changed(policies=[{"failure-details": [{}] * 10_001}]), "more than 10000 kinds of failure"),
        (changed(policies=[{"summary": {"total-successful-session-count": -1}}]), "should be a number"),
        (changed(policies=[{"summary": {"total-successful-session-count": 10**30}}]), "should be a number"),
        (changed(policies=[{"summary": {"total-successful-session-count": True}}]), "should be a number"),
        (changed(policies=[{"summary": {"total-successful-session-count": []}}]), "should be a number"),
    ],
)  # fmt: skip
def test_what_is_none(report: Any, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(report)


def test_json_that_is_broken_or_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    for octets in (b"{", b"{}x", b"\xff", b'{"a":"\xff"}', b"[" * 100_000, b'{"a":' * 100_000):
        with pytest.raises(Unreadable):
            parse(octets)
    with pytest.raises(NoReport, match="it holds no JSON"):
        unpacked(b"<feedback/>", "JSON")
    with pytest.raises(Unreadable, match="a bomb"):
        unpacked(as_mail({"a": "x" * (unpacking.LIMIT + 10)}), "JSON")
    monkeypatch.setattr(tls_received, "JSON_LIMIT", 2**20)
    with pytest.raises(Unreadable, match="more than 1 MiB of JSON"):
        parse(b" " * (2**20 + 1))


def test_nothing_that_a_terminal_would_obey() -> None:
    assert read(changed(organization_name="\x9b31m\u202eGoogle\n\tInc.")).org_name == "?31m?Google Inc."
    assert len(read(changed(report_id="x" * 10_000)).identity) == 255


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            [
                "policies", "policy", "summary", "failure-details", "date-range", "policy-string", "mx-host",
                "total-failure-session-count", "result-type", "end-datetime", "policy-domain",
            ]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=30,
)  # fmt: skip


@given(policies=st.lists(_VALUES, max_size=4), head=st.dictionaries(st.sampled_from(list(GOOGLE)), _VALUES, max_size=2))
def test_whatever_stands_where(policies: list[Any], head: dict[str, Any]) -> None:
    """A report or Unreadable, and every text of it bounded."""
    try:
        found = read(GOOGLE | {"policies": policies} | head)
    except (Unreadable, ValueError):
        return
    for policy in found.policies:
        texts = (policy.domain, policy.type, *policy.lines, *policy.mx, *(one.result for one in policy.failures))
        assert all(len(text) <= 255 and text.isprintable() for text in texts)


@given(st.binary(max_size=200))
def test_whatever_octets(octets: bytes) -> None:
    for given_octets in (octets, b"{" + octets, gzip.compress(octets)):
        try:
            for found in unpacked(given_octets, "JSON"):
                parse(found)
        except Unreadable:
            pass
