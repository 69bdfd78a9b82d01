"""Addresses: a table of what is one and what is none, and the form in which they are compared."""

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.address import (
    Malformed,
    domain_of,
    normalised,
    normalised_domain,
    parse_path,
    split,
    xtext_decode,
    xtext_encode,
)

LABEL63 = "x" * 63

GOOD = [
    # RFC 5321 and RFC 5322 examples
    "Smith@bar.com",
    "Jones@foo.com",
    "JQP@MIT.EDU",
    "userx@y.foo.org",
    "john.q.public@example.com",
    '"Joe.\\Blow"@example.com',
    '"Joe Blow"@example.com',
    # RFC 3696 3, and its errata
    '"Abc\\@def"@example.com',
    '"Abc@def"@example.com',
    '"Joe.\\\\Blow"@example.com',
    "customer/department=shipping@example.com",
    "$A12345@example.com",
    "!def!xyz%abc@example.com",
    "_somename@example.com",
    "user+mailbox@example.com",
    # Hosts that have no dot, look like numbers or are for tests
    "root@localhost",
    "a@b",
    "a@printer.local",
    "a@mx.example.test",
    "a@1",
    "a@123.456",
    "a@3com.com",
    "a@a--b.example",
    "a@xn--bcher-kva.example",
    "a-@example.com",
    "-a@example.com",
    "a.-.b@example.com",
    '""@example.com',
    '" "@example.com',
    '"<>@,;:"@example.com',
    '"\\""@example.com',
    # Address literals (RFC 5321 4.1.3)
    "a@[127.0.0.1]",
    "a@[255.255.255.255]",
    "a@[001.02.3.4]",
    "a@[IPv6:::1]",
    "a@[ipv6:2001:db8::25]",
    "a@[IPv6:2001:db8:0:0:0:0:0:25]",
    "a@[IPv6:::ffff:192.0.2.128]",
    # Limits
    f"{'l' * 242}@example.com",  # a path of 256 octets
    f'"{"l" * 240}"@example.com',
    f"a@{LABEL63}.example",
    f"a@{LABEL63}.{LABEL63}.{LABEL63}.{'y' * 60}",  # a path of 256 octets
]

GOOD_UTF8 = [
    "jürgen@example.org",
    "用户@例子.广告",
    "δοκιμή@παράδειγμα.δοκιμή",
    "a@bücher.example",
    "a@BÜCHER.example",
    "a@a--b.bücher.example",
    '"jürgen klaus"@example.org',
    "👍@example.org",
    "\u0301@example.org",
]

BAD = [
    "",
    "a",
    "@example.com",
    "a@",
    "a@@example.com",
    "a@b@example.com",
    ".a@example.com",
    "a.@example.com",
    "a..b@example.com",
    "a b@example.com",
    "a,b@example.com",
    "a:b@example.com",
    "a(comment)@example.com",
    "a[b@example.com",
    "a\\b@example.com",
    "a\tb@example.com",
    'a"b@example.com',
    '"a@example.com',
    '"a"b@example.com',
    '"a"b"@example.com',
    'a."b"@example.com',  # RFC 5322 allowed that once, RFC 5321 never
    '"a\\"@example.com',
    '"a\0b"@example.com',
    '"a\r\nb"@example.com',
    "a@-example.com",
    "a@example-.com",
    "a@.example.com",
    "a@example.com.",
    "a@example..com",
    "a@exa_mple.com",
    "a@exa mple.com",
    "a@example.com\n",
    f"a@{LABEL63}x.example",
    f"a@{LABEL63}.{LABEL63}.{LABEL63}.{'y' * 61}",
    f"{'l' * 243}@example.com",
    f'"{"l" * 241}"@example.com',
    "a@[127.0.0.1",
    "a@127.0.0.1]",
    "a@[]",
    "a@[256.0.0.1]",
    "a@[1.2.3]",
    "a@[1.2.3.4.5]",
    "a@[1.2.3.x]",
    "a@[١.2.3.4]",
    "a@[::1]",
    "a@[IPv6:]",
    "a@[IPv6:1.2.3.4]",
    "a@[IPv6:fe80::1%eth0]",
    "a@[IPv6:1::2::3]",
    "a@[tag:content]",
    "@relay.example",
    "@relay.example:",
    "<a@example.com>",
]

BAD_UTF8 = [
    "a@x\u2028.org",
    "a@ex\u00a0ample.org",
    "a@\ud800.org",
    "\udcff@example.org",
    f"a@{'ü' * 63}.org",  # longer than 63 octets as an A-label
    f"{'ü' * 122}@example.org",  # a path of 258 octets
    "ü..ü@example.org",
    "a\u0085b@example.org",  # C1 controls, and what many programs take for the end of a line
    '"a\u009bb"@example.org',
    "a\u2028b@example.org",
    '"a\u2029b"@example.org',
]


@pytest.mark.parametrize("address", GOOD)
@pytest.mark.parametrize("null_ok", [True, False])
@pytest.mark.parametrize("utf8", [True, False])
def test_good_address(address: str, null_ok: bool, utf8: bool) -> None:
    assert parse_path(f"<{address}>", null_ok=null_ok, utf8=utf8) == address


@pytest.mark.parametrize("address", GOOD_UTF8)
def test_good_utf8_address(address: str) -> None:
    assert parse_path(f"<{address}>", null_ok=False, utf8=True) == address
    refused = parse_path(f"<{address}>", null_ok=False, utf8=False)
    assert isinstance(refused, Malformed)
    assert refused.needs_utf8


@pytest.mark.parametrize("address", BAD)
@pytest.mark.parametrize("utf8", [True, False])
def test_bad_address(address: str, utf8: bool) -> None:
    assert isinstance(parse_path(f"<{address}>", null_ok=False, utf8=utf8), Malformed)


@pytest.mark.parametrize("address", BAD_UTF8)
def test_bad_utf8_address(address: str) -> None:
    assert isinstance(parse_path(f"<{address}>", null_ok=False, utf8=True), Malformed)


@pytest.mark.parametrize("path", ["", "<", "a@example.com", "<a@example.com", "a@example.com>", "<a@example.com> "])
def test_a_path_has_angle_brackets(path: str) -> None:
    assert isinstance(parse_path(path, null_ok=True, utf8=True), Malformed)


def test_null_path_is_a_sender_only() -> None:
    assert parse_path("<>", null_ok=True, utf8=False) == ""
    assert isinstance(parse_path("<>", null_ok=False, utf8=False), Malformed)


def test_postmaster_is_a_recipient_only() -> None:
    assert parse_path("<PostMaster>", null_ok=False, utf8=False) == "PostMaster"
    assert isinstance(parse_path("<postmaster>", null_ok=True, utf8=False), Malformed)


@pytest.mark.parametrize(
    "path",
    ["<@one.example:a@example.com>", "<@one.example,@two.example:a@example.com>", "<@[127.0.0.1],@two:a@example.com>"],
)
def test_a_source_route_is_dropped(path: str) -> None:
    assert parse_path(path, null_ok=True, utf8=False) == "a@example.com"


@pytest.mark.parametrize(
    ("address", "parts", "compared"),
    [
        ("", ("", ""), ""),
        ("PostMaster", ("PostMaster", ""), "postmaster"),
        ("A.b@Example.COM", ("A.b", "Example.COM"), "A.b@example.com"),
        ('"a@b"@Example.com', ('"a@b"', "Example.com"), '"a@b"@example.com'),
        ('"a.b"@example.com', ('"a.b"', "example.com"), "a.b@example.com"),
        ('"a\\.\\b"@example.com', ('"a\\.\\b"', "example.com"), "a.b@example.com"),
        ('"\\a \\""@example.com', ('"\\a \\""', "example.com"), '"a \\""@example.com'),
        ("u\u0308@bücher.example", ("u\u0308", "bücher.example"), "ü@xn--bcher-kva.example"),
        ("a@BÜCHER.Example", ("a", "BÜCHER.Example"), "a@xn--bcher-kva.example"),
        ("a@XN--BCHER-KVA.example", ("a", "XN--BCHER-KVA.example"), "a@xn--bcher-kva.example"),
        ("a@[IPv6:2001:DB8:0::1]", ("a", "[IPv6:2001:DB8:0::1]"), "a@[IPv6:2001:db8::1]"),
        ("a@[010.0.0.01]", ("a", "[010.0.0.01]"), "a@[10.0.0.1]"),
    ],
)
def test_parts_and_compared_form(address: str, parts: tuple[str, str], compared: str) -> None:
    assert split(address) == parts
    assert normalised(address) == compared
    assert normalised(compared) == compared
    assert domain_of(address) == split(compared)[1]


def test_text_that_is_no_domain_still_compares() -> None:
    assert normalised_domain("[Nonsense]") == "[nonsense]"
    assert normalised_domain("Ü..X") == "ü..x"


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("", ""),
        ("user@example.org", "user@example.org"),
        ("a+b=c d", "a+2Bb+3Dc+20d"),
        ("ü\r\n", "+C3+BC+0D+0A"),
    ],
)
def test_xtext(text: str, encoded: str) -> None:
    assert xtext_encode(text) == encoded
    assert xtext_decode(encoded) == text


@pytest.mark.parametrize("text", ["a b", "a=b", "+", "+2", "+2b", "+G0", "+FF", "ü", "a\n"])
def test_no_xtext(text: str) -> None:
    assert xtext_decode(text) is None


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_xtext(text: str) -> None:
    assert xtext_decode(xtext_encode(text)) == text


@given(st.text(), st.booleans(), st.booleans())
def test_nothing_raises(text: str, null_ok: bool, utf8: bool) -> None:
    parse_path(text, null_ok=null_ok, utf8=utf8)
    parse_path(f"<{text}>", null_ok=null_ok, utf8=utf8)
    normalised(text)
    domain_of(text)


@given(st.emails() | st.from_regex(r"\A[a-z\"\\ .ü@]{1,8}@[a-zü.\-\[\]0-9:]{1,12}\Z"))
def test_all_that_email_validator_takes_is_taken(address: str) -> None:
    try:
        validate_email(
            address,
            check_deliverability=False,
            allow_quoted_local=True,
            allow_domain_literal=True,
            test_environment=True,
        )
    except EmailNotValidError:
        return
    assert parse_path(f"<{address}>", null_ok=False, utf8=True) == address
