"""DMARC: the examples of RFC 9989 and RFC 7489, tables of policies and alignment, and hostile records."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.authentication import dmarc, dmarc_record, suffixes
from engine.authentication.dmarc import Dmarc, Identifiers, Method, Policy, discover
from engine.authentication.outcome import Result
from tests.support.told_dns import TROUBLE, ToldDns

NOBODY = Identifiers()


def dns(policies=(), **more):
    """A zone of DMARC records: domain → record or records; other names of ``more`` exist with an address."""
    names = {name.replace("_", "."): records for name, records in more.items()}
    return ToldDns({f"_dmarc.{domain}": {"TXT": record} for domain, record in dict(policies).items()} | names)


async def judge(ask, author, passed, unsure=NOBODY, method=Method.TREE_WALK) -> Dmarc:
    return await (await discover(ask, [author], method)).judge(passed, unsure)


async def judged(policies, author, *, spf=(), dkim=(), unsure=NOBODY, method=Method.TREE_WALK, **more) -> Dmarc:
    return await judge(dns(policies, **more), author, Identifiers(spf, dkim), unsure, method)


def walked(ask: ToldDns) -> list[str]:
    """The names that were asked for, the longest first: they were asked for side by side."""
    return sorted(dict(ask.asked), key=len, reverse=True)


def said(found: Dmarc) -> tuple[str, ...]:
    return (found.result, found.policy, found.disposition, found.domain)


# the examples of RFC 9989 appendix B.4

SIMPLE = {"example.com": "v=DMARC1; p=reject", "signing.example.com": "v=DMARC1; p=none"}
BANK = {"bank.example": "v=DMARC1; p=reject; psd=y", "giant.bank.example": "v=DMARC1; p=quarantine"}


async def test_a_simple_organisation():
    for spf, dkim in ((["example.com"], []), ([], ["signing.example.com"])):
        found = await judged(SIMPLE, "example.com", spf=spf, dkim=dkim)
        assert said(found) == ("pass", "reject", "none", "example.com")
    assert said(await judged(SIMPLE, "example.com")) == ("fail", "reject", "reject", "example.com")


async def test_a_deep_tree_is_walked_in_eight_questions():
    ask = dns(SIMPLE)
    author = "a.b.c.d.e.f.g.h.i.j.k.example.com"
    assert said(await judge(ask, author, NOBODY)) == ("fail", "reject", "reject", "example.com")
    for spf, dkim in ((["example.com"], []), ([], ["signing.example.com"])):
        assert (await judged(SIMPLE, author, spf=spf, dkim=dkim)).result == "pass"
    assert walked(ask) == [
        f"_dmarc.{author}",
        "_dmarc.g.h.i.j.k.example.com",
        "_dmarc.h.i.j.k.example.com",
        "_dmarc.i.j.k.example.com",
        "_dmarc.j.k.example.com",
        "_dmarc.k.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ]


@pytest.mark.parametrize(("labels", "second"), [(7, "2.3.4.5.6.7"), (8, "2.3.4.5.6.7.8"), (9, "3.4.5.6.7.8.9")])
async def test_where_the_walk_goes_on_above_a_long_name(labels, second):
    ask = dns()
    await judge(ask, ".".join(map(str, range(1, labels + 1))), NOBODY)
    assert walked(ask)[1] == f"_dmarc.{second}"
    assert len(ask.asked) == min(labels, 8)


async def test_a_public_suffix_with_a_record():
    author = "giant.bank.example"
    assert (await judged(BANK, author, spf=["mail.giant.bank.example"])).result == "pass"
    assert (await judged(BANK, author, dkim=["mail.mega.bank.example"])).result == "fail"
    assert (await judged(BANK, author, spf=["bank.example"])).result == "fail"
    assert said(await judged(BANK, "mini.bank.example")) == ("fail", "reject", "reject", "bank.example")
    assert (await judged(BANK, "bank.example", spf=["mail.bank.example"])).result == "fail"
    assert (await judged(BANK, "bank.example", spf=["bank.example"])).result == "pass"


async def test_what_a_walk_finds_is_the_organisation():
    """The three examples of RFC 9989 4.10.2."""
    two = {"mail.example.com": "v=DMARC1; p=none", "example.com": "v=DMARC1; p=reject; sp=quarantine"}
    assert said(await judged(two, "a.mail.example.com")) == ("fail", "quarantine", "quarantine", "example.com")
    assert (await judged(two, "a.mail.example.com", spf=["example.com"])).result == "pass"
    marked = two | {"mail.example.com": "v=DMARC1; p=reject; psd=n"}
    assert said(await judged(marked, "a.mail.example.com")) == ("fail", "reject", "reject", "mail.example.com")
    assert (await judged(marked, "a.mail.example.com", spf=["example.com"])).result == "fail"
    suffix = {"com": "v=DMARC1; p=reject; psd=y"}
    assert (await judged(suffix, "a.mail.example.com", spf=["b.example.com"])).result == "pass"
    assert (await judged(suffix, "a.mail.example.com", spf=["b.example2.com"])).result == "fail"


# RFC 7489 appendix B.1: identifiers in alignment


@pytest.mark.parametrize(("method", "way"), [*product(Method, ["spf", "dkim"])])
@pytest.mark.parametrize(
    ("author", "identifier", "wanted"),
    [
        ("example.com", "example.com", ("pass", "pass")),
        ("EXAMPLE.com", "example.COM", ("pass", "pass")),
        ("example.com", "child.example.com", ("fail", "pass")),
        ("child.example.com", "example.com", ("fail", "pass")),
        ("a.example.com", "b.example.com", ("fail", "pass")),
        ("child.example.com", "example.net", ("fail", "fail")),
        ("example.com", "notexample.com", ("fail", "fail")),
        ("example.com", "com", ("fail", "fail")),
        ("example.com", "", ("fail", "fail")),
        ("example.com", "x" * 300, ("fail", "fail")),
    ],
)
async def test_alignment(author, identifier, wanted, way, method):
    strict, relaxed = wanted
    for mode, result in ((f"; a{way}=s", strict), (f"; a{way}=r", relaxed), ("", relaxed)):
        policies = {"example.com": f"v=DMARC1; p=reject{mode}"}
        found = await judged(policies, author, method=method, **{way: [identifier]})
        assert found.result == result, mode


async def test_names_in_u_labels_are_compared_in_a_labels():
    policies = {"xn--bcher-kva.example": "v=DMARC1; p=reject"}
    found = await judged(policies, "bücher.example", spf=["mail.xn--bcher-kva.example"])
    assert (found.result, found.author) == ("pass", "xn--bcher-kva.example")


# which policy


@pytest.mark.parametrize(
    ("record", "of_domain", "of_subdomain", "of_nobody"),
    [
        ("v=DMARC1; p=none", "none", "none", "none"),
        ("v=DMARC1; p=quarantine", "quarantine", "quarantine", "quarantine"),
        ("v=DMARC1;p=reject", "reject", "reject", "reject"),
        ("v=DMARC1; p=reject; sp=none", "reject", "none", "none"),
        ("v=DMARC1; p=none; sp=quarantine; np=reject", "none", "quarantine", "reject"),
        ("v=DMARC1; p=none; np=reject", "none", "none", "reject"),
        ("v = DMARC1 ; p = Reject ; SP=QUARANTINE;", "reject", "quarantine", "quarantine"),
        ("v=DMARC1; x=y; ; p=reject; garbage; p=none", "reject", "reject", "reject"),
        ("v=DMARC1; p=reject; adkim=x; psd=z; t=maybe", "reject", "reject", "reject"),
    ],
)
async def test_the_policy_of_a_domain_and_below_it(record, of_domain, of_subdomain, of_nobody):
    for author, wanted in (
        ("example.com", of_domain), ("there.example.com", of_subdomain), ("nobody.example.com", of_nobody)
    ):  # fmt: skip
        found = await judged({"example.com": record}, author, there_example_com={"MX": (1, "mx.example.com")})
        assert said(found) == ("fail", wanted, wanted, "example.com"), author


@pytest.mark.parametrize(
    ("record", "method", "disposition"),
    [
        ("p=reject; t=y", Method.TREE_WALK, "quarantine"),
        ("p=quarantine; t=y", Method.TREE_WALK, "none"),
        ("p=none; t=y", Method.TREE_WALK, "none"),
        ("p=reject; t=n", Method.TREE_WALK, "reject"),
        ("p=reject; pct=0", Method.TREE_WALK, "reject"),
        ("p=reject; pct=0", Method.PUBLIC_SUFFIX, "quarantine"),
        ("p=quarantine; pct=0", Method.PUBLIC_SUFFIX, "none"),
        ("p=reject; pct=100", Method.PUBLIC_SUFFIX, "reject"),
        ("p=reject; pct=-1", Method.PUBLIC_SUFFIX, "reject"),
        ("p=reject; t=y", Method.PUBLIC_SUFFIX, "reject"),
    ],
)
async def test_an_owner_who_tests(record, method, disposition):
    found = await judged({"example.com": f"v=DMARC1; {record}"}, "example.com", method=method)
    assert (found.result, found.disposition) == ("fail", disposition)
    assert found.policy == record.partition(";")[0].removeprefix("p=")


async def test_a_share_of_the_mail():
    policies = {"example.com": "v=DMARC1; p=reject; pct=50"}
    seen = {(await judged(policies, "example.com", method=Method.PUBLIC_SUFFIX)).disposition for _ in range(200)}
    assert seen == {Policy.REJECT, Policy.QUARANTINE}


# records that are none, and broken ones


@pytest.mark.parametrize(
    "texts",
    [
        "",
        "v=spf1 -all",
        "v=DMARC2; p=reject",
        "v=dmarc1; p=reject",
        "v=DMARC1x; p=reject",
        "p=reject; v=DMARC1",
        " v=DMARC1; p=reject",
        ["v=DMARC1; p=reject", "v=DMARC1; p=reject"],
        [],
    ],
)
async def test_what_is_no_record(texts):
    assert said(await judged({"example.com": texts}, "example.com")) == ("none", "none", "none", "")


async def test_other_texts_beside_the_record_do_not_matter():
    policies = {"example.com": ["v=spf1 -all", "v=DMARC1; p=reject", b"\xff\0"]}
    assert said(await judged(policies, "example.com")) == ("fail", "reject", "reject", "example.com")


async def test_two_records_are_none_and_the_walk_goes_on():
    policies = {"a.example.com": ["v=DMARC1; p=none", "v=DMARC1; p=none; psd=n"], "example.com": "v=DMARC1; p=reject"}
    assert said(await judged(policies, "a.example.com")) == ("fail", "reject", "reject", "example.com")


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=DMARC1", "permerror"),
        ("v=DMARC1; p=", "permerror"),
        ("v=DMARC1; p=block", "permerror"),
        ("v=DMARC1; p=reject; sp=x", "permerror"),
        ("v=DMARC1; p=reject; np=x; rua=mailto:", "permerror"),
        ("v=DMARC1; rua=a@example.com", "permerror"),
        ("v=DMARC1; rua=mailto:a@example.com", "fail"),
        ("v=DMARC1; p=x; rua=x, mailto:a@example.com!10m", "fail"),
        ("v=DMARC1; p=reject; sp=x; rua=mailto:a@example.com", "fail"),
    ],
)
async def test_a_record_without_a_policy_asks_for_none_if_it_asks_for_reports(record, result):
    assert said(await judged({"example.com": record}, "example.com")) == (result, "none", "none", "example.com")


# trouble


@pytest.mark.parametrize(
    ("silent", "author", "spf", "result"),
    [
        ("_dmarc.example.com", "example.com", ["example.com"], "temperror"),
        ("_dmarc.example.com", "a.example.com", ["example.com"], "temperror"),
        ("_dmarc.com", "example.com", ["b.example.com"], "pass"),  # a public suffix that says nothing has no record
        ("_dmarc.com", "example.com", [], "fail"),
        ("_dmarc.b.example.com", "example.com", ["b.example.com"], "temperror"),
        ("_dmarc.b.example.com", "example.com", ["b.example.com", "c.example.com"], "pass"),
        ("_dmarc.b.example.com", "example.com", ["b.example.net"], "fail"),
        ("nobody.example.com", "nobody.example.com", [], "temperror"),
    ],
)
async def test_silence(silent, author, spf, result):
    policies = {"example.com": "v=DMARC1; p=none; np=reject"}
    table = {f"_dmarc.{name}": {"TXT": text} for name, text in policies.items()}
    ask = ToldDns(table | {silent: dict.fromkeys(("A", "TXT"), TROUBLE)})
    found = await judge(ask, author, Identifiers(spf))
    assert found.result == result
    assert found.disposition == "none"


async def test_silence_above_an_author_with_a_record_matters_only_to_relatives():
    ask = ToldDns({"_dmarc.a.example.com": {"TXT": "v=DMARC1; p=reject"}, "_dmarc.example.com": {"TXT": TROUBLE}})
    for spf, result in (["a.example.com"], "pass"), (["b.example.com"], "temperror"), ([], "fail"):
        assert (await judge(ask, "a.example.com", Identifiers(spf))).result == result


@pytest.mark.parametrize(("domain", "result"), [("b.example.com", "temperror"), ("example.net", "fail")])
async def test_a_check_that_could_not_be_made_matters_where_it_would_have_helped(domain, result):
    policies = {"example.com": "v=DMARC1; p=reject"}
    for unsure in (Identifiers(spf=[domain]), Identifiers(dkim=[domain])):
        assert (await judged(policies, "example.com", unsure=unsure)).result == result
        assert (await judged(policies, "example.com", dkim=["example.com"], unsure=unsure)).result == "pass"


# RFC 7489: by the public suffix list


@pytest.mark.parametrize(
    ("author", "identifier", "result"),
    [
        ("a.b.example.co.uk", "example.co.uk", "pass"),
        ("example.co.uk", "other.co.uk", "fail"),
        ("a.example.co.uk", "co.uk", "fail"),
        ("a.github.io", "b.github.io", "none"),
    ],
)
async def test_organisations_by_the_list(author, identifier, result):
    policies = {"example.co.uk": "v=DMARC1; p=reject", "co.uk": "v=DMARC1; p=none", "github.io": "v=DMARC1; p=none"}
    found = await judged(policies, author, spf=[identifier], method=Method.PUBLIC_SUFFIX)
    assert found.result == result


async def test_the_two_ways_to_an_organisation_differ_where_only_a_subdomain_has_a_record():
    policies = {"a.example.com": "v=DMARC1; p=reject"}
    for method, result in ((Method.TREE_WALK, "fail"), (Method.PUBLIC_SUFFIX, "pass")):
        assert (await judged(policies, "a.example.com", spf=["b.example.com"], method=method)).result == result


@pytest.mark.parametrize(
    ("domain", "registered"),
    [
        ("com", "com"),
        ("a.b.example.com", "example.com"),
        ("a.example.co.uk", "example.co.uk"),
        ("a.b.test", "b.test"),
        ("a.b.c.ck", "b.c.ck"),
        ("www.ck", "www.ck"),
        ("a.b.xn--55qx5d.cn", "b.xn--55qx5d.cn"),
    ],
)
def test_the_list(domain, registered):
    assert suffixes.registered(domain) == registered
    assert suffixes.is_public(domain) == (domain == "com")


# several authors, and none


async def test_the_worst_of_several_authors_counts():
    policies = {"good.test": "v=DMARC1; p=reject", "bank.test": "v=DMARC1; p=reject", "mild.test": "v=DMARC1; p=none"}
    ask = dns(policies)
    passed = Identifiers(["good.test"])
    for authors, author, result in (
        (["good.test"], "good.test", "pass"),
        (["good.test", "GOOD.test"], "good.test", "pass"),
        (["good.test", "mild.test", "bank.test", "none.test"], "bank.test", "fail"),
        (["mild.test", "good.test"], "mild.test", "fail"),
        (["good.test", "none.test"], "none.test", "none"),
        ([], "", "none"),
    ):
        found = await (await discover(ask, authors)).judge(passed)
        assert (found.author, found.result) == (author, result)


@pytest.mark.parametrize("author", ["[192.0.2.1]", "", "ä" * 300, "a..b", "x" * 64 + ".example.com", "."])
async def test_what_is_no_domain_has_no_policy(author):
    assert (await judged({"com": "v=DMARC1; p=reject; psd=n"} if "com" not in author else {}, author)).result == "none"


# harm


@pytest.mark.parametrize("filler", ["x", ";", "=", "a=b;", "rua=mailto:a,", " "])
async def test_a_record_of_a_megabyte(filler):
    record = f"v=DMARC1; p=reject; {filler * (1_000_000 // len(filler))}; sp=none"
    assert said(await judged({"example.com": record}, "a.example.com")) == ("fail", "reject", "reject", "example.com")


async def test_thousands_of_signatures_cost_ten_walks():
    ask = dns({"example.com": "v=DMARC1; p=reject; aspf=s"})
    many = [f"s{number}.example.net" for number in range(5_000)] + [f"{'a.' * 9}s{n}.example.com" for n in range(5_000)]
    await judge(ask, "example.com", Identifiers(dkim=many))
    assert len(ask.asked) <= (1 + dmarc.IDENTIFIERS_LIMIT) * dmarc.WALK_LIMIT


async def test_thousands_of_authors_cost_ten():
    ask = dns()
    await discover(ask, (f"a{number}.b.c.d.e.f.g.h.i.example" for number in range(5_000)))
    assert len(ask.asked) <= dmarc.AUTHORS_LIMIT * dmarc.WALK_LIMIT


@given(st.lists(st.binary(max_size=40).map(lambda octets: b"v=DMARC1; " + octets), max_size=2))
def test_any_record_is_read_or_is_none(texts):
    record = dmarc_record.select(texts)
    assert record is None or record.policy is None or record.policy in Policy


NAMES = st.lists(st.sampled_from(["a", "b", "com", "example"]), min_size=1, max_size=10).map(".".join)
TAGS = st.sampled_from(["p=reject", "p=none", "sp=quarantine", "np=reject", "psd=y", "psd=n", "aspf=s", "t=y", "p=x"])
RECORDS = st.lists(TAGS, max_size=4).map(lambda tags: "; ".join(["v=DMARC1", *tags])) | st.just(TROUBLE)


@given(st.dictionaries(NAMES, RECORDS, max_size=4), NAMES, st.lists(NAMES, max_size=3), st.sampled_from(Method))
async def test_every_tree_gives_a_result(policies, author, spf, method):
    found = await judged(policies, author, spf=spf, method=method)
    assert found.result in (Result.PASS, Result.FAIL, Result.NONE, Result.TEMPERROR, Result.PERMERROR)
    assert found.disposition.strictness <= found.policy.strictness
    if found.result is not Result.FAIL:
        assert found.disposition is Policy.NONE
    if author in spf:
        assert found.result is not Result.FAIL
