"""SPF: the whole openspf suite, the examples of RFC 7208, and records that mean harm."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.authentication import spf_record
from engine.authentication.spf import LOOKUP_LIMIT, Result, check, check_host
from tests.support.told_dns import TROUBLE, ToldDns, of_suite

SUITE = json.loads((Path(__file__).parent / "data" / "rfc7208-tests.json").read_text())
CASES = [
    pytest.param(scenario["zonedata"], case, id=f"{scenario['description']}: {name}")
    for scenario in SUITE
    for name, case in scenario["tests"].items()
]


@pytest.mark.parametrize(("zone", "case"), CASES)
async def test_the_openspf_suite(zone, case):
    found = (await check(ToldDns(of_suite(zone)), case["host"], case["helo"], case["mailfrom"])).mail_from
    wanted = case["result"]
    assert found.result == (wanted[0] if isinstance(wanted, list) else wanted)  # the first is the one preferred
    if "explanation" in case:
        assert found.explanation == case["explanation"].replace("DEFAULT", "")


def test_the_whole_suite_is_here():
    assert len(CASES) == 203


# RFC 7208 appendix A

EXAMPLE = {
    "example.com": {"A": ["192.0.2.10", "192.0.2.11"], "MX": [(10, "mail-a.example.com"), (20, "mail-b.example.com")]},
    "amy.example.com": {"A": "192.0.2.65"},
    "bob.example.com": {"A": "192.0.2.66"},
    "mail-a.example.com": {"A": "192.0.2.129"},
    "mail-b.example.com": {"A": "192.0.2.130"},
    "example.org": {"MX": [(10, "mail-c.example.org")]},
    "mail-c.example.org": {"A": "192.0.2.140"},
    "10.2.0.192.in-addr.arpa": {"PTR": "example.com"},
    "11.2.0.192.in-addr.arpa": {"PTR": "example.com"},
    "65.2.0.192.in-addr.arpa": {"PTR": "amy.example.com"},
    "66.2.0.192.in-addr.arpa": {"PTR": "bob.example.com"},
    "129.2.0.192.in-addr.arpa": {"PTR": "mail-a.example.com"},
    "130.2.0.192.in-addr.arpa": {"PTR": "mail-b.example.com"},
    "140.2.0.192.in-addr.arpa": {"PTR": "mail-c.example.org"},
    "4.0.0.10.in-addr.arpa": {"PTR": "bob.example.com"},
}


@pytest.mark.parametrize(
    ("record", "passes", "fails"),
    [
        ("v=spf1 +all", "192.0.2.200 10.0.0.4", ""),
        ("v=spf1 a -all", "192.0.2.10 192.0.2.11", "192.0.2.65"),
        ("v=spf1 a:example.org -all", "", "192.0.2.140"),
        ("v=spf1 mx -all", "192.0.2.129 192.0.2.130", "192.0.2.10"),
        ("v=spf1 mx:example.org -all", "192.0.2.140", "192.0.2.129"),
        ("v=spf1 mx mx:example.org -all", "192.0.2.129 192.0.2.130 192.0.2.140", "192.0.2.10"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.131 192.0.2.143", "192.0.2.132"),
        ("v=spf1 ptr -all", "192.0.2.10 192.0.2.65", "192.0.2.140 10.0.0.4"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129 192.0.2.143", "192.0.2.65"),
    ],
)
async def test_the_examples_of_appendix_a_1(record, passes, fails):
    ask = ToldDns(EXAMPLE | {"example.com": EXAMPLE["example.com"] | {"TXT": record}})
    for wanted, addresses in ((Result.PASS, passes), (Result.FAIL, fails)):
        for address in addresses.split():
            assert (await check_host(ask, address, "example.com", "u@example.com", helo="h")).result == wanted, address


async def test_the_two_examples_of_appendix_a_2_and_3():
    ask = ToldDns(
        EXAMPLE
        | {
            "example.org": {
                "TXT": "v=spf1 include:example.com include:example.net -all",
                "MX": [(10, "mail-c.example.org")],
            },
            "example.com": EXAMPLE["example.com"] | {"TXT": "v=spf1 mx -all"},
            "example.net": {"TXT": "v=spf1 exists:%{ir}.%{v}._spf.example.net -all"},
            "65.2.0.192.in-addr._spf.example.net": {"A": "127.0.0.2"},
            "la.example.org": {"TXT": "v=spf1 redirect=example.org"},
        }
    )
    for address, wanted in (("192.0.2.129", "pass"), ("192.0.2.65", "pass"), ("192.0.2.66", "fail")):
        assert (await check_host(ask, address, "la.example.org", "u@la.example.org", helo="h")).result == wanted


# RFC 7208 7.4


@pytest.mark.parametrize(
    ("macros", "told"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{h} %{r} %{t} %{c} %{p}", "mta.example.com mx.test 1234567890 192.0.2.3 unknown"),
        ("100%%%_%-%{S}", "100% %20strong-bad%40email.example.com"),
    ],
)
async def test_macros_in_an_explanation(macros, told):
    ask = ToldDns({"email.example.com": {"TXT": "v=spf1 -all exp=e.example.com"}, "e.example.com": {"TXT": macros}})
    found = await check_host(
        ask, "192.0.2.3", "email.example.com", "strong-bad@email.example.com",
        helo="mta.example.com", receiver="mx.test", now=1234567890.5,
    )  # fmt: skip
    assert found.explanation == told


async def test_an_ipv6_address_in_a_name_is_its_nibbles():
    name = "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com"
    ask = ToldDns({"example.com": {"TXT": "v=spf1 exists:%{ir}.%{v}._spf.%{d} -all"}, name: {"A": "127.0.0.2"}})
    assert (await check_host(ask, "2001:DB8::CB01", "example.com", "u@example.com", helo="h")).result == "pass"


# both identities


async def test_helo_and_mail_from_are_two_checks():
    ask = ToldDns(
        {"example.org": {"TXT": "v=spf1 ip4:192.0.2.1 -all"}, "mx.example.net": {"TXT": "v=spf1 ip4:192.0.2.2 ~all"}}
    )
    both = await check(ask, "192.0.2.1", "mx.example.net", "ann@example.org")
    assert (both.mail_from.result, both.mail_from.domain) == ("pass", "example.org")
    assert (both.helo.result, both.helo.domain) == ("softfail", "mx.example.net")


async def test_the_null_sender_is_postmaster_at_the_helo_domain():
    ask = ToldDns(
        {"mx.example.net": {"TXT": "v=spf1 exists:%{l}.%{o} -all"}, "postmaster.mx.example.net": {"A": "127.0.0.2"}}
    )
    both = await check(ask, "192.0.2.2", "mx.example.net", "")
    assert both.mail_from is both.helo
    assert (both.helo.result, both.helo.domain) == ("pass", "mx.example.net")
    assert len(ask.asked) == 2


# international addresses (RFC 8616 4)


async def test_a_domain_in_u_labels_is_asked_for_in_a_labels():
    ask = ToldDns({"xn--bcher-kva.example": {"TXT": "v=spf1 exists:%{o}.%{d} -all"}} | {
        "xn--bcher-kva.example.xn--bcher-kva.example": {"A": "127.0.0.2"}
    })  # fmt: skip
    both = await check(ask, "192.0.2.1", "mx", "käthe@bücher.example")
    assert (both.mail_from.result, both.mail_from.domain) == ("pass", "xn--bcher-kva.example")


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 exists:%{l}.example.org -all", "fail"),
        ("v=spf1 exists:%{s}.example.org -all", "fail"),
        ("v=spf1 exists:%{o}.example.org -all", "pass"),
        ("v=spf1 include:%{l}.example.org ~all", "softfail"),
        ("v=spf1 redirect=%{l}.example.org", "permerror"),
    ],
)
async def test_a_term_that_uses_an_international_local_part_never_matches(record, result):
    ask = ToldDns(
        {
            "example.org": {"TXT": record},
            "käthe.example.org": {"A": "127.0.0.2"},
            "example.org.example.org": {"A": "127.0.0.2"},
        }
    )
    assert (await check(ask, "192.0.2.1", "mx", "käthe@example.org")).mail_from.result == result


async def test_an_explanation_is_ascii_and_one_line():
    ask = ToldDns({"example.org": {"TXT": "v=spf1 -all exp=e.example.org"}, "e.example.org": {"TXT": "%{l}%{l} %{h}"}})
    found = (await check(ask, "192.0.2.1", "a\r\nb", "käthe@example.org")).mail_from
    assert found.explanation == "k?thek?the a??b"


# trouble


async def test_trouble_with_a_name_of_the_client_only_leaves_it_out():
    ask = ToldDns(
        {
            "example.org": {"TXT": "v=spf1 ptr -all"},
            "1.2.0.192.in-addr.arpa": {"PTR": ["down.example.org", "up.example.org"]},
            "down.example.org": {"A": TROUBLE},
            "up.example.org": {"A": "192.0.2.1"},
            "2.2.0.192.in-addr.arpa": {"PTR": TROUBLE},
        }
    )
    assert (await check(ask, "192.0.2.1", "mx", "a@example.org")).mail_from.result == "pass"
    assert (await check(ask, "192.0.2.2", "mx", "a@example.org")).mail_from.result == "fail"


async def test_one_silent_mail_server_does_not_hide_another():
    ask = ToldDns(
        {
            "example.org": {"TXT": "v=spf1 mx -all", "MX": [(1, "down.example.org"), (2, "up.example.org")]},
            "down.example.org": {"A": TROUBLE},
            "up.example.org": {"A": "192.0.2.1"},
        }
    )
    assert (await check(ask, "192.0.2.1", "mx", "a@example.org")).mail_from.result == "pass"
    assert (await check(ask, "192.0.2.9", "mx", "a@example.org")).mail_from.result == "temperror"


async def test_an_mx_record_whose_hosts_have_no_such_address_is_one_void_term():
    hosts = [(number, f"mx{number}.example.org") for number in range(5)]
    ask = ToldDns({"example.org": {"TXT": "v=spf1 mx ip6:2001:db8::/32 -all", "MX": hosts}} | {
        host: {"A": "192.0.2.1"} for _, host in hosts
    })  # fmt: skip
    assert (await check(ask, "2001:db8::1", "mx", "a@example.org")).mail_from.result == "pass"


@pytest.mark.parametrize("address", ["", "no", "1.2.3", "1.2.3.4.5", "::g"])
async def test_no_address_is_a_mistake_of_the_caller(address):
    with pytest.raises(ValueError):
        await check_host(ToldDns({}), address, "example.org", "a@example.org", helo="h")


# records that mean harm


async def test_looping_includes_end_at_the_limit():
    ask = ToldDns({f"l{number}.example.org": {"TXT": f"v=spf1 include:l{1 - number}.example.org"} for number in (0, 1)})
    assert (await check_host(ask, "192.0.2.1", "l0.example.org", "a@b.c", helo="h")).result == "permerror"
    assert len(ask.asked) == LOOKUP_LIMIT + 1


async def test_the_most_that_a_record_can_make_us_ask():
    hosts = [(1, f"h{number}.example.org") for number in range(10)]
    wide = {"TXT": "v=spf1" + " mx:mx.example.org" * 20, "MX": hosts}
    ask = ToldDns(
        {"example.org": wide, "mx.example.org": {"MX": hosts}} | {host: {"A": "192.0.2.9"} for _, host in hosts}
    )
    assert (await check_host(ask, "192.0.2.1", "example.org", "a@b.c", helo="h")).result == "permerror"
    assert len(ask.asked) <= 1 + LOOKUP_LIMIT * 11


@pytest.mark.parametrize(
    ("record", "result"),
    [
        (b"v=spf1 " + b"a" * 1_000_000, "permerror"),
        (b"v=spf1 " + b"ip4:192.0.2.9 " * 70_000, "permerror"),
        (b"v=spf1 exists:" + b"%{s}" * 4_000 + b".example.org -all", "fail"),
        (b"v=spf1 exists:" + b"%{s127r.-+,/_=}" * 1_000 + b".example.org -all", "fail"),
        (b"v=spf1 exists:%{d" + b"9" * 16_000 + b"} -all", "permerror"),
        (b"v=spf1 a:" + b"a" * 16_000 + b"!", "permerror"),
        (b"v=spf1 a:" + b".1" * 8_000, "permerror"),
        (b"v=spf1 a:x." + b"-" * 16_000, "permerror"),
        (b"v=spf1 a:" + b"%%" * 8_000 + b"!", "permerror"),
        (b"v=spf1 a:x.y" + b"/24" * 5_000, "permerror"),
        (b"v=spf1 ip6:" + b":" * 16_000, "permerror"),
        (b"v=spf1 " + b"x=%{l} " * 2_000 + b"?all", "neutral"),
        (b"v=spf1" + b" " * 16_000 + b"?all", "neutral"),
    ],
)
async def test_records_of_any_size_have_a_result(record, result):
    ask = ToldDns({"example.org": {"TXT": record}})
    sender = f"{'-'.join('abcdefgh' * 4)}@example.org"
    assert (await check(ask, "192.0.2.1", "mx", sender)).mail_from.result == result


async def test_an_explanation_that_repeats_a_macro_is_cut():
    ask = ToldDns({"example.org": {"TXT": "v=spf1 -all exp=e.example.org"}, "e.example.org": {"TXT": "%{S}" * 4_000}})
    assert len((await check(ask, "192.0.2.1", "mx", f"{'=' * 64}@example.org")).mail_from.explanation) == 400


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_a_record_is_parsed_or_refused(text):
    try:
        record = spf_record.parse(b"v=spf1 " + text.encode())
    except ValueError:
        return
    assert all(mechanism.name in text.lower() for mechanism in record.mechanisms)


TERMS = (
    *("all", "a", "mx", "ptr", "a/24", "mx//64", "a:b.example/16//48", "ptr:b.example", "exists:%{i}.b.example"),
    *("exists:%{p}.example", "include:b.example", "include:%{d}", "ip4:192.0.2.0/24", "ip6:::/0", "ip4:x"),
    *("redirect=b.example", "exp=b.example", "foo=bar", "%{d}"),
)


@given(
    st.lists(st.tuples(st.sampled_from(["", "-", "~", "?", "+"]), st.sampled_from(TERMS)), max_size=12),
    st.sampled_from(["A", "TXT", ""]),
)
async def test_every_record_has_a_result_and_a_bounded_number_of_questions(terms, failing):
    record = "v=spf1 " + " ".join(sign + term for sign, term in terms)
    table = {name: {"TXT": record, "A": "192.0.2.7", "MX": [(1, "a.example")]} for name in ("a.example", "b.example")}
    if failing:
        table["b.example"][failing] = TROUBLE
    ask = ToldDns(table)
    found = await check_host(ask, "192.0.2.1", "a.example", "u@a.example", helo="h")
    assert found.result in Result
    assert len(ask.asked) <= 2 + LOOKUP_LIMIT * 11
