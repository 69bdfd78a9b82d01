"""All checks of one message: what they find together, in time and out of it."""

import math

import pytest
import trio

from engine.authentication.evaluate import TIME_LIMIT, USUAL, Authentication, Client, Terms, authenticate
from engine.authentication.results import field, parse
from engine.authentication.signatures import LATE
from engine.net.dns import ExpiringCache, Known
from tests.authentication.letters import HEADER, chain, letter, records, rsa_signer, sealed, signed
from tests.support.told_dns import TROUBLE, ToldDns

CLIENT = Client("192.0.2.1", "mx.example.com", "ada@example.com")

PLAIN = {
    "example.com": {"TXT": "v=spf1 ip4:192.0.2.1 -all exp=e.example.com"},
    "e.example.com": {"TXT": "not from %{i}"},
    "mx.example.com": {"A": "192.0.2.1", "TXT": "v=spf1 a -all"},
    "1.2.0.192.in-addr.arpa": {"PTR": "mx.example.com"},
    "_dmarc.example.com": {"TXT": "v=DMARC1; p=reject"},
}


def keys(*domains: str):
    return {name: {"TXT": key} for domain in domains for name, key in records(domain).items()}


TABLE = PLAIN | keys("example.com", "list.example", "other.example")


async def found(octets: bytes, client: Client = CLIENT, terms: Terms = USUAL, table=TABLE) -> Authentication:
    return await authenticate(ToldDns(table), client, [octets], terms)


async def test_all_that_is_well():
    octets = letter(HEADER)
    for chunks in [octets], [octets[at : at + 1] for at in range(len(octets))]:
        got = await authenticate(ToldDns(TABLE), CLIENT, chunks)
        assert got.facts() == {
            "spf.result": "pass",
            "spf.domain": "example.com",
            "spf.helo": "pass",
            "spf.explanation": "",
            "dkim.passed": [],
            "dmarc.result": "pass",
            "dmarc.from": "example.com",
            "dmarc.policy": "reject",
            "dmarc.disposition": "none",
            "dmarc.domain": "example.com",
            "arc.result": "none",
            "arc.oldest_pass": None,
            "arc.sealers": [],
            "iprev.result": "pass",
            "iprev.name": "mx.example.com",
        }


async def test_signatures_are_facts_by_number():
    got = await found(signed({}), Client("192.0.2.9", "h", "a@b.example"))
    facts = got.facts()
    assert facts["dkim[0].result"] == "pass"
    assert (facts["dkim[0].domain"], facts["dkim[0].selector"]) == ("example.com", "rsa")
    assert facts["dkim.passed"] == ["example.com"]
    assert facts["dmarc.result"] == "pass"


async def test_what_is_written():
    got = await found(signed({}))
    (spf, helo, dkim, dmarc, arc, iprev) = got.findings()
    assert (spf.result, spf.properties) == ("pass", (("smtp.mailfrom", "example.com"),))
    assert (helo.result, helo.properties) == ("pass", (("smtp.helo", "mx.example.com"),))
    assert dict(dkim.properties) == {
        "header.d": "example.com",
        "header.i": "@example.com",
        "header.s": "rsa",
        "header.a": "rsa-sha256",
        "header.b": got.dkim[0].signature[:8],
    }
    assert dmarc.properties == (("header.from", "example.com"), ("policy.dmarc", "none"))
    assert (arc.method, arc.result) == ("arc", "none")
    assert (iprev.result, iprev.properties) == ("pass", (("policy.iprev", "192.0.2.1"),))


async def test_a_message_that_fails_everywhere():
    got = await found(letter(HEADER), Client("192.0.2.9", "[192.0.2.9]", "ada@example.com"))
    assert (got.spf.mail_from.result, got.spf.mail_from.explanation) == ("fail", "not from 192.0.2.9")
    assert (got.dmarc.result, got.dmarc.disposition) == ("fail", "reject")
    assert [(f.method, f.result) for f in got.findings()] == [
        ("spf", "fail"),
        ("dkim", "none"),
        ("dmarc", "fail"),
        ("arc", "none"),
        ("iprev", "permerror"),
    ]


async def test_the_null_sender_is_proved_by_helo():
    got = await found(letter([b"From: <postmaster@mx.example.com>\r\n"]), Client("192.0.2.1", "mx.example.com", ""))
    assert (got.dmarc.result, got.facts()["spf.domain"]) == ("pass", "mx.example.com")
    assert got.findings()[0].properties == (("smtp.helo", "mx.example.com"),)


# who the author is


@pytest.mark.parametrize(
    ("author", "result", "domain"),
    [
        (b"", "none", ""),
        (b"From: nobody\r\n", "none", ""),
        (b"From: a@example.com <b@good.example\r\n", "permerror", ""),
        (b"From: a@example.com, b@good.example\r\n", "fail", "example.com"),
        (b"From: a@good.example\r\nFrom: b@example.com\r\n", "fail", "example.com"),
        (b"From: a@sub.example.com\r\n", "fail", "sub.example.com"),
    ],
)
async def test_the_author(author, result, domain):
    table = TABLE | {"good.example": {"TXT": "v=spf1 +all"}, "_dmarc.good.example": {"TXT": "v=DMARC1; p=reject"}}
    got = await found(author + b"Subject: x\r\n\r\n", Client("192.0.2.9", "h", "a@good.example"), table=table)
    assert (got.dmarc.result, got.dmarc.author) == (result, domain)


# a chain of those who handed it on


def handed_on(*results: str, sealers=("list.example",)) -> bytes:
    """A letter that others have handed on and sealed."""
    header = list(HEADER)
    for number, sealer in enumerate(sealers, 1):
        said = results[number - 1] if number <= len(results) else "arc=pass"
        header = sealed(header, number, results=f"i={number}; {sealer}; {said}", signer=rsa_signer(sealer))
    return letter(header)


SAW_PASS = "dmarc=pass header.from=example.com"


@pytest.mark.parametrize(
    ("results", "sealers", "trusted", "disposition"),
    [
        ([SAW_PASS], ["list.example"], ["list.example"], "none"),
        ([SAW_PASS], ["list.example"], [], "reject"),
        ([SAW_PASS], ["list.example"], ["other.example"], "reject"),
        (["dmarc=pass"], ["list.example"], ["list.example"], "none"),
        (["dmarc=fail header.from=example.com"], ["list.example"], ["list.example"], "reject"),
        (["dmarc=pass header.from=evil.example"], ["list.example"], ["list.example"], "reject"),
        (["none"], ["list.example"], ["list.example"], "reject"),
        ([SAW_PASS], ["list.example", "other.example"], ["list.example", "other.example"], "none"),
        ([SAW_PASS], ["list.example", "other.example"], ["list.example"], "reject"),
        ([SAW_PASS], ["list.example", "other.example"], ["other.example"], "reject"),
        (["none", SAW_PASS], ["list.example", "other.example"], ["other.example"], "none"),
    ],
)
async def test_a_trusted_chain_saves_forwarded_mail(results, sealers, trusted, disposition):
    octets = handed_on(*results, sealers=sealers)
    got = await found(octets, Client("192.0.2.9", "h", "x@list.example"), Terms(trusted_sealers=trusted))
    assert (got.arc.result, got.dmarc.result, got.dmarc.policy) == ("pass", "fail", "reject")
    assert got.dmarc.disposition == disposition
    assert got.facts()["arc.sealers"] == sealers


async def test_a_broken_chain_saves_nothing():
    octets = handed_on(SAW_PASS).replace(b"Subject: Dinner", b"Subject: Supper")
    got = await found(octets, Client("192.0.2.9", "h", ""), Terms(trusted_sealers=["list.example"]))
    assert (got.arc.result, got.dmarc.disposition) == ("fail", "reject")


# trouble, and time


@pytest.mark.parametrize(
    ("silent", "result"),
    [
        ("example.com", {"spf.result": "temperror", "dmarc.result": "pass"}),
        ("rsa._domainkey.example.com", {"dkim[0].result": "temperror", "dmarc.result": "pass"}),
        ("_dmarc.example.com", {"dmarc.result": "temperror", "dmarc.disposition": "none"}),
        ("1.2.0.192.in-addr.arpa", {"iprev.result": "temperror", "dmarc.result": "pass"}),
    ],
)
async def test_trouble_of_one_check_is_not_that_of_another(silent, result):
    table = TABLE | {silent: dict.fromkeys(("A", "PTR", "TXT"), TROUBLE)}
    facts = (await found(signed({}), table=table)).facts()
    assert {name: facts[name] for name in result} == result


async def test_where_what_might_have_helped_is_in_trouble_the_policy_is_not_applied():
    table = TABLE | {"example.com": {"TXT": TROUBLE}}
    got = await found(letter(HEADER), Client("192.0.2.9", "h", "ada@example.com"), table=table)
    assert (got.dmarc.result, got.dmarc.disposition) == ("temperror", "none")


class Slow(ToldDns):
    """Never answers about some names."""

    def __init__(self, table, *names: str) -> None:
        super().__init__(table)
        self._names = names

    async def __call__(self, name: str, rdtype: str):
        if name in self._names:
            await trio.sleep_forever()
        return await super().__call__(name, rdtype)


SPF_RESULTS = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}  # RFC 7208 2.6
SILENT = ["example.com", "mx.example.com", "1.2.0.192.in-addr.arpa", "rsa._domainkey.example.com"]


@pytest.mark.parametrize(
    ("silent", "late", "judged"),
    [
        (["1.2.0.192.in-addr.arpa"], {"iprev.result"}, "pass"),
        (["rsa._domainkey.example.com"], {"dkim[0].result"}, "pass"),
        (["example.com"], {"spf.result", "spf.helo"}, "pass"),
        (SILENT, {"spf.result", "spf.helo", "dkim[0].result", "iprev.result"}, "temperror"),
        (["_dmarc.example.com"], set(), "temperror"),
    ],
)
async def test_what_is_not_done_in_time_is_temperror(silent, late, judged, autojump_clock):
    facts = (await authenticate(Slow(TABLE, *silent), CLIENT, [signed({})])).facts()
    assert {name for name in facts if facts[name] == "temperror"} - {"dmarc.result"} == late
    assert facts["dmarc.result"] == judged
    assert trio.current_time() <= TIME_LIMIT


async def test_a_sender_whose_servers_take_their_time_does_not_get_around_a_policy(autojump_clock):
    octets = signed({"d": "slow.example"})
    ask = Slow(TABLE, "slow.example", "rsa._domainkey.slow.example", "9.2.0.192.in-addr.arpa")
    got = await authenticate(ask, Client("192.0.2.9", "slow.example", "a@slow.example"), [octets])
    assert (got.spf.mail_from.why, got.dkim[0].text) == (LATE, LATE)
    assert (got.dmarc.result, got.dmarc.disposition) == ("fail", "reject")


async def test_all_checks_ask_side_by_side(autojump_clock):
    class Distant(ToldDns):
        async def __call__(self, name: str, rdtype: str):
            await trio.sleep(1)
            return await super().__call__(name, rdtype)

    start = trio.current_time()
    got = await authenticate(Distant(TABLE), CLIENT, [signed({})])
    assert got.dmarc.result == "pass"
    assert trio.current_time() - start == 2  # SPF's TXT then A for HELO, PTR then A; the keys and policies meanwhile


@pytest.mark.parametrize("ip", ["", "x", "1.2.3.4.5"])
async def test_no_address_is_a_mistake_of_the_caller(ip):
    with pytest.raises(ValueError):
        await found(letter(HEADER), Client(ip, "h", ""))


async def test_whatever_a_message_holds_the_field_can_be_read():
    octets = letter([b'From: "\xff" <a@\xc3\xa4.example>\r\n', b'DKIM-Signature: v=1; d=\xc3\xa4"); x\r\n', *chain(1)])
    got = await found(octets, Client("2001:db8::1", 'a"b(c\r\nX: y', "ä\r\n@ö.example"))
    written = field("mx.example.org", got.findings())
    assert written.count(b"\r\n") == written.count(b"\r\n\t") + 1
    assert parse(written.decode().partition(":")[2]) is not None
    assert got.spf.mail_from.result in SPF_RESULTS


# what is known already


def unsigned(questions):
    return [question for question in questions if "._domainkey." not in question[0]]


@pytest.mark.parametrize(
    ("octets", "client"),
    [
        (signed({}), CLIENT),
        (letter(HEADER), Client("192.0.2.9", "[192.0.2.9]", "ada@example.com")),
        (letter([b"From: <ada@news.example.com>, <b@other.example>\r\n"]), CLIENT),
    ],
    ids=["passes", "fails", "several authors"],
)
async def test_it_makes_no_difference_what_is_known(octets, client):
    """Nothing, all, or all but one of the answers."""
    dns = ToldDns(TABLE)
    expected = await authenticate(dns, client, [octets])
    questions = list(dict.fromkeys(dns.asked))
    for missing in [questions, [], *([question] for question in questions)]:
        answers = ExpiringCache(100, trio.current_time)
        for question in questions:
            if question not in missing:
                answers.put((question[0].lower(), question[1]), await dns(*question), math.inf)
        asking = ToldDns(TABLE)
        got = await authenticate(asking, client, [octets], known=Known(answers))
        assert got.facts() == expected.facts()
        # Signatures are checked once, and ask whether a key is known or not.
        assert unsigned(asking.asked) or not unsigned(missing)
        assert missing or not unsigned(asking.asked)
