"""LDAP: what requests and filters look like in octets, and what answers are taken for."""

import pytest

from engine.protocols import ldap
from engine.protocols.ber import Malformed, element, integer, octets
from engine.protocols.ldap import Answers, Done, Entry
from engine.protocols.ldap_filter import BadFilter, escaped, parse_filter


def equal(attribute: str, value: bytes) -> bytes:
    return element(0xA3, octets(attribute), octets(value))


# The examples of RFC 4515 4, and of the operators' manuals.
FILTERS = [
    ("(cn=Babs Jensen)", equal("cn", b"Babs Jensen")),
    ("(!(cn=Tim Howes))", element(0xA2, equal("cn", b"Tim Howes"))),
    (
        "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
        element(
            0xA0,
            equal("objectClass", b"Person"),
            element(0xA1, equal("sn", b"Jensen"), element(0xA4, octets("cn"), element(0x30, octets("Babs J", 0x80)))),
        ),
    ),
    (
        "(o=univ*of*mich*)",
        element(
            0xA4, octets("o"), element(0x30, octets("univ", 0x80), octets("of", 0x81), octets("mich", 0x81))
        ),
    ),
    ("(o=*a)", element(0xA4, octets("o"), element(0x30, octets("a", 0x82)))),
    ("(seeAlso=)", equal("seeAlso", b"")),
    ("(objectClass=*)", octets("objectClass", 0x87)),
    ("(age>=21)", element(0xA5, octets("age"), octets("21"))),
    ("(age<=21)", element(0xA6, octets("age"), octets("21"))),
    ("(cn~=fred)", element(0xA8, octets("cn"), octets("fred"))),
    (
        "(cn:caseExactMatch:=Fred)",
        element(0xA9, octets("caseExactMatch", 0x81), octets("cn", 0x82), octets("Fred", 0x83)),
    ),
    (
        "(sn:dn:2.4.6.8.10:=Barney)",
        element(
            0xA9, octets("2.4.6.8.10", 0x81), octets("sn", 0x82), octets("Barney", 0x83), element(0x84, b"\xff")
        ),
    ),
    ("(o:dn:=Ace)", element(0xA9, octets("o", 0x82), octets("Ace", 0x83), element(0x84, b"\xff"))),
    ("(:1.2.3:=Wilma)", element(0xA9, octets("1.2.3", 0x81), octets("Wilma", 0x83))),
    (r"(o=Parens R Us \28for all\29)", equal("o", b"Parens R Us (for all)")),
    (r"(cn=*\2A*)", element(0xA4, octets("cn"), element(0x30, octets("*", 0x81)))),
    (r"(bin=\00\00\00\04)", equal("bin", b"\0\0\0\x04")),
    (r"(sn=Lu\c4\8di\c4\87)", equal("sn", "Lučić".encode())),
    ("(sn=Lučić)", equal("sn", "Lučić".encode())),
    ("(!(userAccountControl:1.2.840.113556.1.4.803:=2))", element(0xA2, element(
        0xA9, octets("1.2.840.113556.1.4.803", 0x81), octets("userAccountControl", 0x82), octets("2", 0x83)))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "encoded"), FILTERS)
def test_filters(text: str, encoded: bytes) -> None:
    assert parse_filter(text) == encoded


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is lacking"),
        ("cn=a", "is lacking"),
        ("(cn=a", r'"\)" is lacking'),
        ("(cn=a)(cn=b)", "stands behind"),
        ("(&)", "has no filter"),
        ("(!(a=b)(c=d))", "more than one"),
        ("(=a)", "no attribute=value"),
        ("(cn)", "no attribute=value"),
        ("(:=a)", "needs an attribute"),
        (r"(cn=a\2)", "backslash"),
        (r"(cn=\zz)", "backslash"),
        ("(!" * 40 + "(a=b)" + ")" * 40, "too deeply"),
    ],
)
def test_what_is_no_filter(text: str, why: str) -> None:
    with pytest.raises(BadFilter, match=why):
        parse_filter(text)


@pytest.mark.parametrize("value", ["plain", "*", ")(uid=*", "a\\b", "\0", "ü(", r"\2a"])
def test_a_value_stays_a_value_whatever_it_holds(value: str) -> None:
    assert parse_filter(f"(mail={escaped(value)})") == equal("mail", value.encode())


def test_requests() -> None:
    assert ldap.bind(1, "cn=a", "b") == bytes.fromhex("30 11 02 01 01 60 0c 02 01 03 04 04 63 6e 3d 61 80 01 62")
    assert ldap.unbind(3) == bytes.fromhex("30 05 02 01 03 42 00")
    assert ldap.start_tls(1) == bytes.fromhex("30 1d 02 01 01 77 18 80 16") + b"1.3.6.1.4.1.1466.20037"
    wanted = ldap.search(2, "dc=b", ldap.SUBTREE, parse_filter("(a=*)"), ["mail"], size=2, seconds=5)
    assert wanted == bytes.fromhex(
        "30 25 02 01 02 63 20 04 04 64 63 3d 62 0a 01 02 0a 01 00 02 01 02 02 01 05 01 01 00"
        "87 01 61 30 06 04 04 6d 61 69 6c"
    )


def test_a_bind_without_a_password_is_never_sent() -> None:
    with pytest.raises(ValueError, match="proves nothing"):
        ldap.bind(1, "cn=a", "")


ENTRY = element(
    0x64, octets("uid=ann,dc=b"), element(0x30, element(0x30, octets("Mail"), element(0x31, octets("a@b.test"))))
)
REFERENCE = element(0x73, octets("ldap://other/"))
DONE = element(0x65, integer(0, 0x0A), octets(""), octets("fine"), element(0xA3, octets("ldap://other/")))


def said(identity: int, operation: bytes) -> bytes:
    return element(0x30, integer(identity), operation, element(0xA0))  # controls are passed over


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_answers_in_any_pieces(size: int) -> None:
    octets_ = said(300, ENTRY) + said(300, REFERENCE) + said(300, DONE)
    answers, found = Answers(), []
    for start in range(0, len(octets_), size):
        answers.receive(octets_[start : start + size])
        while (answer := answers.next(300)) is not None:
            found.append(answer)
    assert found == [Entry("uid=ann,dc=b", {"mail": (b"a@b.test",)}), Done(0, "fine")]
    assert answers.empty


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (said(2, DONE), "what was not asked"),
        (said(0, element(0x78, integer(52, 0x0A), octets(""), octets("going down"))), "going down"),
        (said(1, element(0x6B)), "what was not asked"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" + b" " * 100, "no LDAP message"),
        (bytes.fromhex("30 80 02 01 01"), "a length"),
        (bytes.fromhex("3f 81 01"), "a tag"),
        (bytes.fromhex("30 84 7f ff ff ff"), "too large"),
        (element(0x30, integer(1)), "no LDAP message"),
        (said(1, element(0x65, integer(0, 0x0A))), "lacks something"),
        (said(1, element(0x65, octets(""), octets(""), octets(""))), "without a code"),
        (element(0x30, integer(1), b"\x65\x05\x0a"), "cut off"),
    ],
)
def test_what_is_no_answer(data: bytes, why: str) -> None:
    answers = Answers()
    answers.receive(data)
    with pytest.raises(Malformed, match=why):
        answers.next(1)
