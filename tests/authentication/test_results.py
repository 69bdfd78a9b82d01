"""Authentication-Results: the examples of RFC 8601, what is written from hostile values, and forged fields."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.authentication.results import VALUE_LIMIT, Finding, Parsed, body, claims, field, parse

OURS = "mx.example.org"


def spf(*properties: tuple[str, str], result: str = "pass", reason: str = "") -> Finding:
    return Finding("spf", result, properties, reason=reason)


def dkim(*properties: tuple[str, str], result: str = "pass", reason: str = "") -> Finding:
    return Finding("dkim", result, properties, reason=reason)


FROM = ("smtp.mailfrom", "example.net")

# RFC 8601 appendix B, and section 2.2
EXAMPLES = [
    ("example.org 1; none", Parsed("example.org", ())),
    ("example.com;\r\n          spf=pass smtp.mailfrom=example.net", Parsed("example.com", (spf(FROM),))),
    (
        "example.com;\r\n          auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n"
        "          spf=pass smtp.mailfrom=example.net",
        Parsed("example.com", (Finding("auth", "pass", (("smtp.auth", "sender@example.net"),)), spf(FROM))),
    ),
    (
        "example.com; iprev=pass\r\n          policy.iprev=192.0.2.200",
        Parsed("example.com", (Finding("iprev", "pass", (("policy.iprev", "192.0.2.200"),)),)),
    ),
    (
        "example.com;\r\n      dkim=fail reason=\"bad signature\"\r\n        header.i=@mail-router.example.net;\r\n"
        "      dkim=pass (good signature)\r\n        header.i=@newyork.example.com",
        Parsed(
            "example.com",
            (
                dkim(("header.i", "@mail-router.example.net"), result="fail", reason="bad signature"),
                dkim(("header.i", "@newyork.example.com")),
            ),
        ),
    ),
    (
        "foo.example.net (foobar) 1 (baz);\r\n    dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n"
        "      policy (A dot can go here) . (like that) expired\r\n"
        "      (this surprised me) = (as I wasn't expecting it) 1362471462",
        Parsed("foo.example.net", (Finding("dkim", "fail", (("policy.expired", "1362471462"),)),)),
    ),
    (
        'example.com; dkim=pass header.d=example.com header.b="AbC/d+e="; dmarc=pass (p=none) header.from=example.com;',
        Parsed(
            "example.com",
            (
                dkim(("header.d", "example.com"), ("header.b", "AbC/d+e=")),
                Finding("dmarc", "pass", (("header.from", "example.com"),)),
            ),
        ),
    ),
    (
        'mx.example; spf=pass smtp.mailfrom="a b"@example.net header.b=Ab/c==; arc=none',
        Parsed(
            "mx.example",
            (spf(("smtp.mailfrom", "a b@example.net"), ("header.b", "Ab/c==")), Finding("arc", "none")),
        ),
    ),
    ("mx.example; spf=none smtp.mailfrom=", Parsed("mx.example", (spf(("smtp.mailfrom", ""), result="none"),))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "parsed"), EXAMPLES)
def test_what_is_well_formed_is_understood(text, parsed):
    assert parse(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "; spf=pass",
        "example.org",
        "example.org;",
        "example.org one; spf=pass",
        "example.org 1 2; spf=pass",
        "example.org; spf",
        "example.org; =pass",
        "example.org; spf==pass",
        "example.org; none; spf=pass",
        "example.org; spf=pass smtp.mailfrom",
        "example.org (; spf=pass",
        "example.org; spf=pass (a (b)",
        "example.org; spf=pass )",
        'example.org; spf="pass',
        "example.org=1; spf=pass",
        "example.org;; spf=pass",
    ],
)
def test_what_is_not_is_not(text):
    assert parse(text) is None


def test_a_field_is_folded_at_each_result_and_at_78_characters():
    found = field(
        OURS,
        [
            Finding("spf", "pass", (FROM, ("smtp.helo", "mail.example.net")), comment="ip4:192.0.2.0/24 of it"),
            Finding("iprev", "pass", (("policy.iprev", "2001:db8::1"),)),
            Finding("dkim", "fail", (("header.b", "a/b="),), reason="bad signature"),
        ],
    )
    assert found == (
        b"Authentication-Results: mx.example.org;\r\n"
        b"\tspf=pass (ip4:192.0.2.0/24 of it) smtp.mailfrom=example.net\r\n"
        b"\tsmtp.helo=mail.example.net;\r\n"
        b'\tiprev=pass policy.iprev="2001:db8::1";\r\n'
        b'\tdkim=fail reason="bad signature" header.b="a/b="\r\n'
    )


def test_without_results_it_says_so():
    assert field(OURS, []) == b"Authentication-Results: mx.example.org;\r\n\tnone\r\n"
    assert body(OURS, []) == "mx.example.org; none"


NAMES = st.sampled_from(["header.d", "smtp.mailfrom", "policy.iprev"])
FINDINGS = st.builds(
    Finding,
    st.sampled_from(["spf", "dkim"]),
    st.sampled_from(["pass", "fail"]),
    st.lists(st.tuples(NAMES, st.text()), max_size=3).map(tuple),
    st.text(),
    st.text(),
)


def as_written(text: str) -> str:
    return re.sub(r"[^ -~]", "?", text[:VALUE_LIMIT])


@given(st.lists(FINDINGS, min_size=1, max_size=4))
def test_whatever_the_values_hold_it_is_one_field_that_says_the_same(findings):
    found = field(OURS, findings)
    lines = found.removesuffix(b"\r\n").split(b"\r\n")
    assert all(re.fullmatch(rb"[\t -~]{1,998}", line) for line in lines)
    assert all(line.startswith(b"\t") and line.strip() for line in lines[1:])
    parsed = parse(found.decode().partition(":")[2])
    assert parsed is not None
    assert parsed == parse(body(OURS, findings))
    assert [
        (f.method, f.result, f.reason, [(name, value) for name, value in f.properties]) for f in parsed.findings
    ] == [
        (f.method, f.result, as_written(f.reason), [(name, as_written(value)) for name, value in f.properties])
        for f in findings
    ]


@pytest.mark.parametrize(
    "text",
    [
        "mx.example.org; spf=pass",
        "  MX.Example.ORG. ; none",
        "mx.example.org/1; spf=pass",
        "mx.example.org 1; spf=pass",
        '"mx.example.org"; spf=pass',
        '"mx.ex\\ample.org"; spf=pass',
        "(a comment (in another)) mx.example.org (1) ; spf=pass",
        "\r\n\tmx.example.org;\r\n\tspf=pass",
        # malformed
        "mx.example.org",
        "mx.example.org spf=pass",
        "mx.example.org, spf=pass",
        "=mx.example.org; spf=pass",
        "; mx.example.org; spf=pass",
        "x y z mx.example.org; spf=pass",
        "mx.example.org (; spf=pass",
        '"mx.example.org; spf=pass',
        'mx.example."org"; spf=pass',
        "mx.(x)example.org; spf=pass",
        "mx.example.org; spf",
        "other.example; spf=pass; mx.example.org",
        "mx.example.org\0; spf=pass",
    ],
)
def test_what_claims_to_be_ours(text):
    assert claims(text, OURS)


@pytest.mark.parametrize(
    "text",
    [
        "mx.example.com; spf=pass",
        "amx.example.org; spf=pass",
        "mx.example.org.evil.example; spf=pass",
        "other.example (for mx.example.org); spf=pass",
        "other.example; spf=pass smtp.mailfrom=mx.example.org",
        "other.example; spf",
        "",
        "not-mx.example.org=; x",
    ],
)
def test_what_does_not(text):
    assert not claims(text, OURS)


def test_international_names_are_compared_in_a_labels():
    assert claims("mx.bücher.example; spf=pass", "mx.xn--bcher-kva.example")
    assert claims("mx.xn--bcher-kva.example; spf=pass", "mx.bücher.example")
    assert claims("mx.bücher.example spf=pass", "mx.bücher.example")


@given(st.text(st.sampled_from('mx.example.org;="()\\ \r\n\t/a1ü'), max_size=40))
def test_any_text_is_read_or_not(text):
    parsed = parse(text)
    assert claims(text, OURS) in (True, False)
    assert parsed is None or parsed.authserv_id == "" or parsed.authserv_id[0] in text


@pytest.mark.parametrize("unit", ['"', '"\\', "(", "(\\", "a=", ";", "x "])
@pytest.mark.parametrize("length", [8_000, 1_000_000])
def test_long_nonsense_is_read_in_one_pass(unit, length):
    text = unit * (length // len(unit))
    assert parse(text) is None
    assert not claims(text, OURS)
    assert claims(f"{text} mx.example.org", OURS)
