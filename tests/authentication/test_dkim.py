"""Signatures: the examples of the RFCs, real ones, and every rule that one can break."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.authentication.dkim import SIGNATURES_LIMIT, DkimResult, sign, verify
from engine.authentication.fields import Fields, split_message
from engine.authentication.outcome import Result
from engine.authentication.signer import Signer
from engine.authentication.tags import parse_tags
from tests.authentication.letters import (
    BODY,
    HEADER,
    NAMES,
    NOW,
    body_hash,
    ed25519,
    ed25519_signer,
    letter,
    record,
    records,
    rsa,
    rsa_signer,
    signed,
)
from tests.authentication.zone import TROUBLE, Asked, message

RECORDS = {
    "brisbane._domainkey.example.com": b"v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkM"
    b"oGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"
    b"tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB",
    "brisbane._domainkey.football.example.com": b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test._domainkey.football.example.com": b"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiG"
    b"s5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4h"
    b"stT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
    "sed._domainkey.test.ex": b"v=DKIM1; k=ed25519; p=sPs07Vu29FpHT/80UXUcYHFOHifD4o2ZlP2+XUh9g6E=",
    "20120113._domainkey.gmail.com": b"k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1Kd87/UeJjenpabgbFwh+eBCs"
    b"STrqmwIYYvywlbhbqoo2DymndFkbjOVIPIldNs/m40KF+yzMn1skyoxcTUGCQs8g3FgD2Ap3ZB5DekAo5wMmk4wimDO+U8QzI3SD07y2+07wlNW"
    b"wIt8svnxgdxGkVbbhzY8i+RQ9DpSVpPbF7ykQxtKXkv/ahW3KjViiAH+ghvvIhkx4xYSIc9oSwVmAl5OctMEeWUwg8Istjqz8BZeTWbf41fbNhte"
    b"7Y+YqZOwq1Sd0DbvYAD9NOZK9vlfuac0598HY+vtSBczUiKERHv1yRbcaQtZFh5wtiRrN04BLUTD21MycBX5jYchHjPY/wIDAQAB",
}


async def verified(octets: bytes, zone: Mapping[str, bytes] = RECORDS) -> tuple[DkimResult, ...]:
    fields, body = split_message([octets])
    return await verify(fields, body, Asked(zone), NOW)


async def test_rfc_6376_appendix_a() -> None:
    (result,) = await verified(message("rfc6376-a.eml"))
    assert result.result is Result.PASS
    assert (result.domain, result.selector, result.identity) == ("example.com", "brisbane", "joe@football.example.com")
    assert (result.algorithm, result.bits, result.testing, result.unsigned) == ("rsa-sha256", 1024, False, 0)
    assert result.signature.startswith("AuUoFEfDxTDkHlLX")


async def test_rfc_8463_appendix_a() -> None:
    results = await verified(message("rfc8463-a.eml"))
    assert [(found.result, found.algorithm, found.selector, found.bits) for found in results] == [
        ("pass", "ed25519-sha256", "brisbane", 256),
        ("pass", "rsa-sha256", "test", 1024),
    ]


@pytest.mark.parametrize("name", ["rfc6376-a.eml", "rfc8463-a.eml"])
@pytest.mark.parametrize(("old", "new"), [(b"dinner", b"supper"), (b"hungry", b"thirsty")])
async def test_a_change_is_found(name: str, old: bytes, new: bytes) -> None:
    octets = message(name)
    assert old in octets
    assert {found.result for found in await verified(octets.replace(old, new))} == {Result.FAIL}


async def test_no_signature() -> None:
    assert await verified(b"From: a@b.test\r\n\r\nHello.\r\n") == ()


@pytest.mark.parametrize(
    ("name", "result", "domain"),
    [
        ("exim-ed25519.eml", "pass", "test.ex"),
        ("gmail.eml", "pass", "gmail.com"),
        ("bad-domain.eml", "permerror", "legitimate.com(.attacker.com"),
    ],
)
async def test_signatures_of_others(name: str, result: str, domain: str) -> None:
    (found,) = await verified(message(name))
    assert (found.result, found.domain) == (result, domain)


# Tags other than usual, in a signature that fits the message; and what the text must hold.
RULES: dict[str, tuple[dict[str, str | None], str, str]] = {
    "as is": ({}, "pass", ""),
    "no v": ({"v": None}, "permerror", "v= is missing"),
    "another version": ({"v": "2"}, "permerror", "version"),
    "no a": ({"a": None}, "permerror", "a= is missing"),
    "rsa-sha1": ({"a": "rsa-sha1"}, "permerror", "rsa-sha1"),
    "an unknown algorithm": ({"a": "rsa-poem"}, "permerror", "rsa-poem"),
    "an algorithm in capitals": ({"a": "RSA-SHA256"}, "pass", ""),
    "an algorithm of another key": ({"a": "ed25519-sha256"}, "permerror", "the key is for rsa"),
    "no d": ({"d": None}, "permerror", "d= is missing"),
    "d is empty": ({"d": ""}, "permerror", "no domain name"),
    "d is none": ({"d": "example..com"}, "permerror", "no domain name"),
    "d in capitals": ({"d": "EXAMPLE.com"}, "pass", ""),
    "no s": ({"s": None}, "permerror", "s= is missing"),
    "s is empty": ({"s": ""}, "permerror", "no domain name"),
    "no key": ({"s": "gone"}, "permerror", "there is no key gone._domainkey.example.com"),
    "no bh": ({"bh": None}, "permerror", "bh= is missing"),
    "bh is no base64": ({"bh": "===="}, "permerror", "no base64"),
    "bh of another body": ({"bh": body_hash(b"Hello\r\n")}, "fail", "the body was changed"),
    "bh with white space": ({"bh": f"{body_hash()[:9]} \t{body_hash()[9:]}"}, "pass", ""),
    "no h": ({"h": None}, "permerror", "h= is missing"),
    "h is empty": ({"h": ""}, "permerror", "From is not signed"),
    "h without From": ({"h": "to:subject"}, "permerror", "From is not signed"),
    "h with white space": ({"h": "to : From :\tsubject"}, "pass", ""),
    "h with no name": ({"h": "from:a b"}, "permerror", "field names"),
    "h with more than is there": ({"h": "from:from:to:x:from"}, "pass", ""),
    "no c": ({"c": None}, "fail", "the body was changed"),
    "c of the header alone": ({"c": "relaxed", "bh": body_hash(relaxed=False)}, "pass", ""),
    "c of the body simple": ({"c": "relaxed/simple", "bh": body_hash(relaxed=False)}, "pass", ""),
    "c in capitals": ({"c": "Relaxed/RELAXED"}, "pass", ""),
    "c is unknown": ({"c": "relaxed/poem"}, "permerror", "canonical form"),
    "c is half": ({"c": "relaxed/"}, "permerror", "canonical form"),
    "c is too much": ({"c": "relaxed/relaxed/relaxed"}, "permerror", "canonical form"),
    "i of a subdomain": ({"i": "ada@mail.EXAMPLE.com"}, "pass", ""),
    "i without a local part": ({"i": "@example.com"}, "pass", ""),
    "i with a quoted dot": ({"i": "ada@mail.example=2Ecom"}, "pass", ""),
    "i with a quoted at sign": ({"i": "ada=40example.com"}, "pass", ""),
    "i with white space": ({"i": "ada@mail.\r\n example.com"}, "pass", ""),
    "i of another domain behind quotes": ({"i": "ada@bad=65xample.com"}, "permerror", "identity"),
    "i of another domain": ({"i": "ada@example.org"}, "permerror", "identity"),
    "i of a domain with the same end": ({"i": "ada@badexample.com"}, "permerror", "identity"),
    "i of the domain above": ({"i": "ada@com"}, "permerror", "identity"),
    "i without an at sign": ({"i": "example.com"}, "permerror", "identity"),
    "q": ({"q": "dns/txt"}, "pass", ""),
    "q with another way": ({"q": "pigeon : dns/txt"}, "pass", ""),
    "q without ours": ({"q": "pigeon"}, "permerror", "q="),
    "t": ({"t": str(NOW)}, "pass", ""),
    "t in the future": ({"t": str(NOW + 100_000)}, "permerror", "future"),
    "t of a clock that is fast": ({"t": str(NOW + 1000)}, "pass", ""),
    "t is no number": ({"t": "now"}, "permerror", "t= is no number"),
    "t is negative": ({"t": "-1"}, "permerror", "t= is no number"),
    "x": ({"x": str(NOW)}, "pass", ""),
    "x is over": ({"x": str(NOW - 1)}, "permerror", "expired"),
    "x before t": ({"t": str(NOW), "x": str(NOW - 1)}, "permerror", "before it was made"),
    "x is no number": ({"x": "1e99"}, "permerror", "x= is no number"),
    "l of all": ({"l": str(len(BODY) - 3)}, "pass", ""),
    "l beyond": ({"l": str(len(BODY))}, "fail", "the body has"),
    "l far beyond": ({"l": "9" * 76}, "fail", "the body has"),
    "l is no number": ({"l": "all"}, "permerror", "l= is no number"),
    "l has too many digits": ({"l": "9" * 77}, "permerror", "l= is no number"),
    "an unknown tag": ({"unknown": "a=b"}, "pass", ""),
    "z": ({"z": "From:foo@eng.example.net|To:joe@example.com"}, "pass", ""),
}


@pytest.mark.parametrize("case", RULES)
async def test_rules(case: str) -> None:
    changes, result, text = RULES[case]
    (found,) = await verified(signed(changes), records())
    assert (found.result, text in found.text) == (result, True), found


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        (rb" b=\r\n [^;]*?(?=\r\n[A-Z])", b"", "permerror"),
        (rb" b=\r\n [^;]*?(?=\r\n[A-Z])", b" b=", "permerror"),
        (rb" b=\r\n [^;]*?(?=\r\n[A-Z])", b" b=A", "permerror"),
        (rb" b=\r\n [^;]*?(?=\r\n[A-Z])", b" b=AAAA", "fail"),
        (rb" b=\r\n [^;]*?(?=\r\n[A-Z])", b" b=" + b"A" * 100_000, "fail"),
        (rb" b=\r\n ....", b" b=\r\n &&&&", "permerror"),
        (rb"v=1;", b"v=1; v=1;", "permerror"),
        (rb"v=1;", b"v=1;;", "permerror"),
        (rb"v=1;", b"v=1; \x01=2;", "permerror"),
        (rb"v=1;", b"v=1; n=\x01;", "permerror"),
        (rb"v=1;", b"v=1; n=\xff;", "permerror"),
        (rb"v=1; ", b"V=1; ", "permerror"),
        (rb"v=1; a=", b"v=1;\r\n\ta =  ", "fail"),
        (rb"DKIM-Signature: v", b"dkim-SIGNATURE   :\r\n v", "pass"),
        (rb"\A.*?\r\n(?=[A-Z])", b"DKIM-Signature:\r\n", "permerror"),
        (rb"\A.*?\r\n(?=[A-Z])", b"DKIM-Signature: " + b"a" * 100_000 + b"\r\n", "permerror"),
    ],
)
async def test_a_signature_that_was_changed(old: bytes, new: bytes, result: str) -> None:
    octets, count = re.subn(old, lambda _: new, signed({}), count=1, flags=re.DOTALL)
    assert count == 1
    assert [found.result for found in await verified(octets, records())] == [result]


@pytest.mark.parametrize(
    ("extra", "changes", "result"),
    [
        ("t=s; ", {}, "pass"),
        ("t=s; ", {"i": "@EXAMPLE.com"}, "pass"),
        ("t=s; ", {"i": "@mail.example.com"}, "permerror"),
        ("t=y; ", {}, "pass"),
        ("t=y; ", {"bh": body_hash(b"Hello\r\n")}, "neutral"),
        ("t=y; ", {"a": "ed25519-sha256"}, "permerror"),
    ],
)
async def test_flags_of_the_key(extra: str, changes: dict[str, str | None], result: str) -> None:
    (found,) = await verified(signed(changes), {"rsa._domainkey.example.com": record(rsa(), extra)})
    assert found.result == result
    assert ("tests DKIM" in found.text) == (extra == "t=y; " and result != "permerror")


async def test_trouble_of_the_dns() -> None:
    (found,) = await verified(signed({}), {"rsa._domainkey.example.com": TROUBLE})
    assert (found.result, found.text) == ("temperror", "no server answers")


async def test_what_follows_the_signed_length() -> None:
    octets = signed({"l": str(len(BODY) - 3)})
    (found,) = await verified(octets[:-2] + b"PS: and more\r\n", records())
    assert (found.result, found.unsigned) == ("pass", 14)
    assert "14 octets of the body are not signed" in found.text
    (found,) = await verified(octets.replace(b"Hi", b"Ho"), records())
    assert (found.result, found.text) == ("fail", "the body was changed")


@pytest.mark.parametrize(
    ("old", "new", "flaw"),
    [
        (b"Subject:", b"Sub\r\nject:", "no field"),
        (b"\r\n\r\n", b"\r\nHi Bob,\r\n\r\n", "no field"),
        (b"X-Not-Signed: ", b"X-Not-Signed: \nFrom: eve@example.org", "bare"),
        (b"X-Not-Signed: ", b"X-Not-Signed: \r", "bare"),
        (b"X-Not-Signed: ", b"X-Not-Signed: " + b"x" * 300_000, "more than 262144 octets"),
    ],
)
async def test_a_header_that_readers_may_take_for_another(old: bytes, new: bytes, flaw: str) -> None:
    octets = signed({}, [*HEADER, b"X-Not-Signed: \r\n"])
    assert [found.result for found in await verified(octets, records())] == ["pass"]
    (found,) = await verified(octets.replace(old, new, 1), records())
    assert found.result == "permerror"
    assert flaw in found.text


async def test_the_line_of_a_mailbox_file_is_no_flaw() -> None:
    assert (await verified(b"From ada Fri Jan 15 08:00:00 2027\r\n" + signed({}), records()))[0].result == "pass"


async def test_fields_that_were_added() -> None:
    """RFC 6376 8.15: what h= names once more than it is there cannot be added."""
    for names, result in ((NAMES, "pass"), (f"{NAMES}:from", "fail")):
        octets = signed({"h": names})
        assert [found.result for found in await verified(b"From: eve@example.org\r\n" + octets, records())] == [result]


async def test_the_lowest_field_is_signed_first() -> None:
    fields = [b"To: one@example.net\r\n", *HEADER, b"To: three@example.net\r\n"]
    octets = signed({"h": "from:to:to"}, fields)
    assert [found.result for found in await verified(octets, records())] == ["pass"]
    for changed, result in ((b"one@", "pass"), (b"bob@", "fail"), (b"three@", "fail")):
        found = await verified(octets.replace(changed, b"eve@"), records())
        assert [result] == [each.result for each in found], changed


async def test_a_signature_does_not_sign_itself() -> None:
    older = signed({}).partition(b"From: ")[0]
    octets = signed(
        {"h": f"{NAMES}:dkim-signature:dkim-signature"}, [older.partition(b"\r\nReceived:")[0] + b"\r\n", *HEADER]
    )
    assert [found.result for found in await verified(octets, records())] == ["pass", "pass"]


async def test_internationalized_domains() -> None:
    """RFC 8616 3: d= and s= may be in U-labels, and so may i=."""
    zone = {"xn--schlssel-95a._domainkey.xn--bcher-kva.example": record(rsa())}
    octets = signed({"d": "bücher.example", "s": "schlüssel", "i": "jörg@post.bücher.example"})
    (found,) = await verified(octets, zone)
    assert (found.result, found.domain) == ("pass", "xn--bcher-kva.example")


async def test_ten_thousand_signatures() -> None:
    one, rest = signed({}).split(b"Received:", 1)
    octets = one * 400 + b"DKIM-Signature: v=1\r\n" * 9600 + b"Received:" + rest
    asked = Asked(records())
    fields = Fields.parse(octets)
    results = await verify(fields, [BODY], asked, NOW)
    assert [found.result for found in results] == ["pass"] * SIGNATURES_LIMIT + ["policy"]
    assert results[-1].text.startswith("9984 more")
    assert len(asked.questions) == SIGNATURES_LIMIT


async def test_a_signature_of_ten_thousand_fields() -> None:
    octets = signed({"h": "from:" + "x:" * 10_000 + "to"}, [*HEADER, *[b"X: y\r\n"] * 20_000])
    assert [found.result for found in await verified(octets, records())] == ["pass"]


async def test_a_huge_record() -> None:
    zone = {"rsa._domainkey.example.com": b"v=DKIM1; p=" + b"A" * 1_000_000}
    assert [found.result for found in await verified(signed({}), zone)] == ["permerror"]


BOTH = (rsa_signer(), ed25519_signer())
LINES = st.lists(
    st.sampled_from([b"", b" ", b"a", b"a  b ", b"\tc", b".", b"=20", "ü".encode(), b"x" * 998])
).map(b"\r\n".join)  # fmt: skip
VALUE = st.lists(st.sampled_from([b"word", b" ", b"\t", b"\r\n ", b";", b":", b"=", "ü".encode()])).map(b"".join)
FIELD_NAMES = st.sampled_from(
    [
        b"From",
        b"FROM",
        b"To",
        b"cc",
        b"Subject",
        b"Reply-To",
        b"List-Id",
        b"Received",
        b"X-Else",
        b"DKIM-Signature",
        b"Date ",
    ]
)
HEADERS = st.lists(st.tuples(FIELD_NAMES, VALUE).map(lambda field: field[0] + b":" + field[1] + b"\r\n"))


def all_pass(results: tuple[DkimResult, ...], count: int = 2) -> bool:
    return [found.result for found in results[:count]] == [Result.PASS] * count


@given(HEADERS, LINES, st.booleans(), st.lists(st.integers(1, 50)))
async def test_what_is_signed_is_verified(
    header: list[bytes], body: bytes, relaxed_body: bool, cuts: list[int]
) -> None:
    fields = Fields.parse(b"".join(header))
    own = sign(fields, pieces(body, cuts), BOTH, NOW, relaxed_body=relaxed_body, valid_for=86_400)
    octets = own + letter(header, body)
    assert all_pass(await verified(octets, records()))
    folded = [field.replace(b"From:", b"FROM :").replace(b"\r\n ", b"\t\r\n  ") for field in header]
    assert all_pass(await verified(own + letter(folded, body), records()))
    for added in (b"From", b"Subject", b"Cc", b"Content-Type"):
        results = await verified(added + b": added\r\n" + octets, records())
        assert {found.result for found in results[:2]} == {Result.FAIL}


def pieces(octets: bytes, sizes: list[int]) -> list[bytes]:
    found = []
    for size in sizes:
        found.append(octets[:size])
        octets = octets[size:]
    return [*found, octets]


def test_what_a_signature_says() -> None:
    own = sign(Fields.parse(b"".join(HEADER)), [BODY], BOTH, NOW + 0.7, valid_for=60.0)
    assert max(map(len, own.split(b"\r\n"))) <= 78
    first, second = (parse_tags(field.value) for field in Fields.parse(own))
    assert (first["a"], second["a"]) == ("rsa-sha256", "ed25519-sha256")
    assert (first["t"], first["x"], first["c"], first["d"], first["s"]) == (
        str(NOW), str(NOW + 60), "relaxed/relaxed", "example.com", "rsa",
    )  # fmt: skip
    names = first["h"].replace("\r\n ", "").split(":")
    assert (names.count("from"), names.count("cc"), names.count("list-id"), names.count("received")) == (2, 1, 0, 0)


async def test_a_key_that_signs_alone() -> None:
    for signer in BOTH:
        own = sign(Fields.parse(b"".join(HEADER)), [BODY], [signer], NOW, relaxed_body=False)
        assert b"x=" not in own
        assert all_pass(await verified(own + letter(HEADER), records()), 1)
        assert not all_pass(await verified(own + letter(HEADER)[:-2] + b" \r\n", records()), 1)


def test_signers_are_values() -> None:
    assert Signer("example.com", "ed", ed25519()) == ed25519_signer()
