"""LIMITS (RFC 9422): how it is written, read, and kept within."""

import pytest

from engine.protocols.smtp_limits import Allowance, Limits, limits_line, parse_limits


@pytest.mark.parametrize(
    ("limits", "lines"),
    [
        (Limits(), []),
        (Limits(recipients=1000), ["LIMITS RCPTMAX=1000"]),
        (Limits(5, 20, 1), ["LIMITS MAILMAX=5 RCPTMAX=20 RCPTDOMAINMAX=1"]),
        (Limits(mails=999_999, recipients=1_000_000), ["LIMITS MAILMAX=999999"]),
    ],
)
def test_what_is_written(limits: Limits, lines: list[str]) -> None:
    assert limits_line(limits) == lines


@pytest.mark.parametrize(
    ("parameters", "limits"),
    [
        ("", Limits()),
        ("RCPTMAX=20 MAILMAX=5", Limits(mails=5, recipients=20)),
        ("rcptmax=20  RcptDomainMax=1", Limits(recipients=20, domains=1)),
        # A limit that we do not know, with a value and without.
        ("FUTURE=1:2 OTHER RCPTMAX=20", Limits(recipients=20)),
        # A wrong value makes its own limit void (RFC 9422 3.7).
        ("RCPTMAX=0 MAILMAX=5", Limits(mails=5)),
        ("RCPTMAX=020 MAILMAX=5", Limits(mails=5)),
        ("RCPTMAX=1000000 MAILMAX=5", Limits(mails=5)),
        ("RCPTMAX=-1 MAILMAX=5", Limits(mails=5)),
        ("RCPTMAX MAILMAX=5", Limits(mails=5)),
        ("RCPTMAX=many MAILMAX=5", Limits(mails=5)),
        ("RCPTMAX=\N{ARABIC-INDIC DIGIT TWO} MAILMAX=5", Limits()),
        # What is no parameter makes all void.
        ("RCPTMAX= MAILMAX=5", Limits()),
        ("=20 MAILMAX=5", Limits()),
        ("RCPTMAX=20; MAILMAX=5", Limits()),
        ("RCPTMAX=20=30 MAILMAX=5", Limits(mails=5)),
        ("RCPT.MAX=20 MAILMAX=5", Limits()),
        # Said twice, the smaller one is safe.
        ("RCPTMAX=20 RCPTMAX=10", Limits(recipients=10)),
    ],
)
def test_what_is_read(parameters: str, limits: Limits) -> None:
    assert parse_limits(parameters) == limits


@pytest.mark.parametrize(
    ("limits", "transactions"),
    [
        (Limits(), [("a@x b@y c@z", "yyy")]),
        (Limits(recipients=2), [("a@x b@y c@z", "yy-"), ("c@z", "y")]),
        (Limits(domains=1), [("a@x b@y c@X", "y-y"), ("b@y", "-"), ("d@x", "y")]),
        (Limits(domains=2), [("a@x", "y"), ("b@y c@z d@x", "y-y"), ("c@z", "-")]),
        (Limits(recipients=1, domains=2), [("a@x b@y c@z", "y--"), ("b@y c@z", "y-"), ("c@z", "-")]),
        # One domain, in either form.
        (Limits(domains=1), [("a@ex\N{LATIN SMALL LETTER A WITH DIAERESIS}.example b@xn--ex-wia.example", "yy")]),
    ],
)
def test_who_may_be_named(limits: Limits, transactions: list[tuple[str, str]]) -> None:
    allowance = Allowance(limits)
    for addresses, taken in transactions:
        assert "".join("-y"[fits] for fits in allowance.take(addresses.split())) == taken
