"""Whether the server of somebody will encrypt: what is said before a letter is sent."""

import time
from contextlib import AsyncExitStack

import pytest
from mail_site import ANN, BOB, browser, mail_of

from engine.net.zone import Zone
from engine.policies.results import TlsResult
from engine.policies.store import Kept
from engine.protocols.mta_sts import StsPolicy
from engine.web.mail import ways
from engine.web.mail.contacts import Learnt, Owner
from engine.web.mail.desk import Desk
from tests.support.background import dns
from tests.support.site import BASIC

REMOTE = '[lane.remote]\nstages = ["resolve", "relay"]\n'

SIGNED = Zone(
    "signed.example.",
    {
        "@": {"MX": "10 mx.signed.example."},
        "mx": {"A": "192.0.2.1"},
        "_25._tcp.mx": {"TLSA": "3 1 1 " + "ab" * 32},
        "half": {"MX": ["10 mx.signed.example.", "20 bare.signed.example."]},
        "bare": {"A": "192.0.2.2"},
    },
    secure=True,
)
PLAIN = Zone(
    "plain.example.",
    {
        name: {"MX": "10 mx.plain.example."} for name in ("strict", "testing", "seen", "clear", "new", "mx2")
    }
    | {
        "mx": {"A": "192.0.2.3"},
        "null": {"MX": "0 ."},
        "_mta-sts.strict": {"TXT": '"v=STSv1; id=1"'},
        "_mta-sts.testing": {"TXT": '"v=STSv1; id=1"'},
    },
)  # fmt: skip


def policy(mode):
    now = time.time()
    return Kept(StsPolicy(mode, 86_400, ("mx.plain.example",)), "1", now, now)


def result(domain, failed=""):
    return TlsResult("no-policy-found", domain, result=failed)


@pytest.fixture(scope="module")
def resolver():
    with dns(SIGNED, PLAIN) as address:
        yield address


def text_of(resolver, relay=""):
    servers = f'[dns]\nservers = ["{resolver}"]\n'
    return BASIC + REMOTE + servers + relay


@pytest.fixture
async def mail(tmp_path, resolver):
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(mail_of(tmp_path, text_of(resolver)))
        role = found.site.role
        role.sts.put("strict.plain.example", policy("enforce"))
        role.sts.put("testing.plain.example", policy("testing"))
        for one in (
            result("seen.plain.example"),
            result("clear.plain.example", "starttls-not-supported"),
            result("strict.plain.example", "starttls-not-supported"),
        ):
            role.seen_tls.heard(one)
        await role.seen_tls.write()
        written = [f"x@{name}.plain.example" for name in ("seen", "clear", "strict")]
        learnt = {one: Learnt(one, "", 1, time.time()) for one in written}
        found.site.context.one(Desk).contacts.learn(found.id(), None, Owner(ANN), learnt)
        yield found


async def told(client, *domains):
    response = await client.client.get("/mail/ways", params=[("domain", one) for one in domains])
    assert response.status_code == 200
    return {one["domain"]: one for one in response.json()}


@pytest.mark.parametrize(
    ("domain", "state", "words"),
    [
        ("example.org", "local", "stays on this server"),
        ("signed.example", "dane", "must prove who it is (DANE)"),
        ("half.signed.example", "unknown", "not known yet"),  # mail may go to the other one
        ("strict.plain.example", "sts", "must prove who it is (MTA-STS)"),
        ("testing.plain.example", "testing", "does not insist"),
        ("seen.plain.example", "seen", "nothing is promised"),
        ("clear.plain.example", "clear", "probably not"),
        ("new.plain.example", "unknown", "not known yet"),
        ("null.plain.example", "nowhere", "takes no mail"),
        ("nobody.plain.example", "nowhere", "takes no mail"),
        ("Strict.Plain.Example", "sts", "MTA-STS"),
        ("[192.0.2.1]", "unknown", "not known"),
        ("-", "unknown", "not known"),
        ("a" * 300, "unknown", "not known"),
    ],
)
async def test_what_is_known_of_a_domain(mail, domain, state, words):
    ann = await browser(mail)
    (found,) = (await told(ann, domain)).values()
    assert found["state"] == state
    assert words in found["text"]


async def test_what_was_seen_is_told_to_those_alone_who_have_written_there(mail):
    bob = await browser(mail, BOB)
    found = await told(bob, "seen.plain.example", "clear.plain.example", "strict.plain.example")
    assert [one["state"] for one in found.values()] == ["unknown", "unknown", "sts"]  # by name
    assert len({one["text"] for one in found.values()}) == 2


async def test_many_are_asked_at_once_and_no_more_than_there_may_be(mail):
    ann = await browser(mail)
    found = await told(ann, "example.org", "signed.example", "seen.plain.example", *[f"d{n}.test" for n in range(50)])
    assert len(found) == ways.DOMAINS
    assert found["signed.example"]["state"] == "dane"


async def test_an_answer_is_kept_and_nobody_makes_us_ask_without_end(mail):
    ann = await browser(mail)
    await told(ann, "new.plain.example")
    before = PLAIN.questions.total()
    await told(ann, "new.plain.example")
    assert PLAIN.questions.total() == before
    for start in range(0, 60, 20):
        await told(ann, *[f"x{start + n}.plain.example" for n in range(20)])
    asked = [name for name, _ in PLAIN.questions if name.startswith("x")]
    assert 0 < len(set(asked)) < 40
    assert (await told(ann, "new.plain.example"))["new.plain.example"]["state"] == "unknown"


async def test_what_is_asked_leaves_no_trace_in_what_the_mail_has_needed(mail):
    before = mail.site.role.sts.all()
    await told(await browser(mail), "strict.plain.example", "new.plain.example")
    assert mail.site.role.sts.all() == before


@pytest.mark.parametrize(
    ("settings", "state"),
    [
        ('[stage.resolve]\nsmart_host = "smart.example:25"\n', "onward"),
        ('[stage.relay]\ntls = "never"\n', "never"),
        ('[stage.resolve]\npolicies = ["mta-sts"]\n', "unknown"),
    ],
)
async def test_what_the_server_is_set_to_counts(tmp_path, resolver, settings, state):
    async with mail_of(tmp_path, text_of(resolver, settings)) as mail:
        ann = await browser(mail)
        found = await told(ann, "signed.example", "example.org")
        assert (found["signed.example"]["state"], found["example.org"]["state"]) == (state, "local")


async def test_in_vietnamese(mail):
    ann = await browser(mail, language="vi")
    assert (await told(ann, "signed.example"))["signed.example"]["text"].startswith("sẽ được mã hóa")


async def test_who_has_not_signed_in_is_told_nothing(mail):
    assert (await mail.site.browser().get("/mail/ways?domain=signed.example")).status_code == 303
