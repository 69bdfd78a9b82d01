"""MTA-STS: the record and the policy, as they are and as they are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.mta_sts import LONGEST_AGE, POLICY_LIMIT, StsPolicy, parse_policy, policy_id


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        ([b"v=STSv1;id=1"], "1"),
        ([b"v=STSv1 ; id=1"], "1"),
        ([b"v=STSv1;\tid=1 ; "], "1"),
        ([b"v=STSv1; id=1; new=x,y"], "1"),
        ([b"v=STSv1; new=id; id=2"], "2"),
        ([b"v=spf1 -all", b"v=STSv1; id=1;"], "1"),
        ([b"v=STSv1; id=1;", b"v=STSv1; id=1;"], ""),  # RFC 8461 3.1: several are none
        ([b"v=STSv1; id=1;", b"v=STSv1;"], ""),
        ([b"v=STSv1;"], ""),
        ([b"v=STSv1; id="], ""),
        ([b"v=STSv1; id=a-b"], ""),
        ([b"v=STSv1; id=" + b"1" * 33], ""),
        ([b"v=STSv1; id=1 2"], ""),
        ([b"v=STSv1; id=1;; x=y"], ""),
        ([b"v=STSv1; id=1; x"], ""),
        ([b"v=STSv2; id=1"], ""),
        ([b"V=STSv1; id=1"], ""),
        ([b" v=STSv1; id=1"], ""),
        ([b"v=STSv1; id=\xff"], ""),
        ([], ""),
    ],
)
def test_the_record(texts: list[bytes], found: str) -> None:
    assert policy_id(texts) == found


GOOD = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.Example.NET\nmax_age: 604800\n"


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        (GOOD, StsPolicy("enforce", 604800, ("mail.example.com", "*.example.net"))),
        (GOOD.replace("\n", "\r\n"), StsPolicy("enforce", 604800, ("mail.example.com", "*.example.net"))),
        (GOOD.replace(": ", ":"), StsPolicy("enforce", 604800, ("mail.example.com", "*.example.net"))),
        (GOOD.replace("\n", " \t\n") + "\n", StsPolicy("enforce", 604800, ("mail.example.com", "*.example.net"))),
        (GOOD.rstrip("\n"), StsPolicy("enforce", 604800, ("mail.example.com", "*.example.net"))),
        ("mode: none\nversion: STSv1\nmax_age: 0", StsPolicy("none", 0)),
        (GOOD + "mode: none\nmax_age: 1\n", StsPolicy("enforce", 604800, ("mail.example.com", "*.example.net"))),
        (GOOD + "new-field: a b c\n", StsPolicy("enforce", 604800, ("mail.example.com", "*.example.net"))),
        (
            GOOD.replace("604800", "9999999999"),
            StsPolicy("enforce", LONGEST_AGE, ("mail.example.com", "*.example.net")),
        ),
    ],
)
def test_a_policy(text: str, policy: StsPolicy) -> None:
    assert parse_policy(text.encode()) == policy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "version"),
        (GOOD.replace("STSv1", "STSv2"), "version"),
        (GOOD.replace("enforce", "Enforce"), "mode"),
        (GOOD.replace("mode: enforce\n", ""), "mode"),
        (GOOD.replace("604800", "-1"), "max_age"),
        (GOOD.replace("604800", "1 day"), "max_age"),
        (GOOD.replace("604800", "12345678901"), "max_age"),
        ("version: STSv1\nmode: testing\nmax_age: 1\n", "names no mx"),
        (GOOD + "mx: *\n", "no name of a host"),
        (GOOD + "mx: *.*.example.com\n", "no name of a host"),
        (GOOD + "mx: mail.*.example.com\n", "no name of a host"),
        (GOOD + "mx: bücher.example\n", "no name of a host"),
        (GOOD + "mx: mail.example.com:25\n", "no name of a host"),
        (GOOD + "nonsense\n", "no field"),
        (GOOD + ": x\n", "no field"),
        ("<html>\n" + GOOD, "no field"),
        (GOOD + "".join(f"mx: mx{n}.example.com\n" for n in range(300)), "more than 200"),
        (GOOD + "x" * POLICY_LIMIT, "octets"),
    ],
)
def test_what_is_no_policy(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_policy(text.encode())


def test_octets_that_are_no_text_are_no_policy() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        parse_policy(GOOD.encode() + b"\xff: x\n")


@given(st.binary(max_size=300))
def test_no_octets_break_it(octets: bytes) -> None:
    policy_id([octets, b"v=STSv1; id=1;" + octets])
    for text in (octets, GOOD.encode() + octets):
        try:
            found = parse_policy(text)
        except ValueError:
            continue
        assert found.mode == "none" or found.mx


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("mail.example.com", "mail.example.com", True),
        ("mail.example.com", "MAIL.example.com.", True),
        ("mail.example.com", "a.mail.example.com", False),
        ("*.example.com", "mail.example.com", True),
        ("*.example.com", "a.mail.example.com", False),  # RFC 8461 4.1: one label
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("example.com", "mail.example.com", False),
    ],
)
def test_which_hosts_a_pattern_covers(pattern: str, host: str, covered: bool) -> None:
    assert StsPolicy("enforce", 1, (pattern,)).covers(host) is covered


def test_a_policy_is_quoted_as_it_can_be_read() -> None:
    policy = parse_policy(GOOD.encode())
    assert parse_policy("\n".join(policy.lines).encode()) == policy
