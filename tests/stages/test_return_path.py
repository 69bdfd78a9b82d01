"""The stage `return_path`: in whose name mail leaves; and what `route` makes of bounces that come back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Each, Envelope, Message, MessageId, Recipient, Session
from engine.directory import Directory, Embedded
from engine.message import Octets
from engine.return_path import Batv, ReturnPaths, Srs, Verp
from engine.verdict import Route as To
from stages.return_path import ReturnPath
from stages.route import NO_SUCH_USER, NOT_OURS, Route, Rule

STRANGER, LOGIN, TRUSTED = (
    Session(peer="192.0.2.1"),
    Session(login="ann@example.org", trusted=True),
    Session(trusted=True),
)
ANN, FAR, OUTSIDE = "ann@example.org", "far@example.net", "someone@elsewhere.test"
SRS, BATV = Srs("example.org", (b"secret",), 21 * 86_400.0), Batv((b"other secret",), require=True)
VERP = Verp("bounces@example.org", (b"third",), 21 * 86_400.0, frozenset({"news@example.org", "shop.test"}),
            frozenset({"acme"}))  # fmt: skip


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with Embedded.open(tmp_path / "directory", ["example.org", "second.test"]) as opened:
        opened.add_account(ANN)
        opened.add_account("list@example.org")
        opened.add_alias("anns@example.org", [ANN, FAR])
        opened.add_alias("out@example.org", [FAR])
        yield opened


@pytest.fixture
def returns() -> ReturnPaths:
    return ReturnPaths(SRS, BATV)


@pytest.fixture
def route(directory: Directory, returns: ReturnPaths) -> Route:
    return Route(directory, returns, rules=(Rule(to="local", lane="local"), Rule(to="*", lane="remote")))


async def senders(directory: Directory, returns: ReturnPaths, message: Message) -> dict[str, str]:
    """The sender with which it goes on, for each recipient."""
    verdict = await ReturnPath(directory, returns)(message)
    if isinstance(verdict, Message):
        verdict = Each(dict.fromkeys(message.recipients, verdict))
    assert isinstance(verdict, Each)
    found = {recipient: verdict.verdicts.get(recipient, message) for recipient in message.recipients}
    assert len({id(one) for one in found.values()}) == len({one.sender for one in found.values()}), "they go together"
    return {recipient: one.sender for recipient, one in found.items()}


def letter(sender: str, *recipients: Recipient, session: Session = STRANGER) -> Message:
    return Message(MessageId.new(), Envelope(sender, recipients, session), Octets(b"Subject: hello\r\n\r\nhello\r\n"))


def opened(address: str) -> str | None:
    return SRS.reverse(address, time.time()) or BATV.open(address, time.time())


async def test_what_an_alias_sends_outside_goes_on_from_an_address_of_ours(directory, returns) -> None:
    found = await senders(directory, returns, letter(OUTSIDE, Recipient(FAR), Recipient("x@other.test")))
    (sender,) = set(found.values())
    assert sender.startswith("SRS0=")
    assert sender.endswith("=elsewhere.test=someone@example.org")
    assert opened(sender) == OUTSIDE


@pytest.mark.parametrize("session", [LOGIN, TRUSTED])
async def test_what_was_sent_there_by_one_who_may_goes_on_as_it_is(directory, returns, session) -> None:
    direct, asked = Recipient("x@other.test"), Recipient("y@other.test", original="rfc822;Y@other.test")
    forwarded = Recipient(FAR, original="rfc822;out@example.org")
    found = await senders(directory, returns, letter(OUTSIDE, direct, forwarded, asked, session=session))
    assert opened(found.pop(FAR)) == OUTSIDE
    assert set(found.values()) == {OUTSIDE}


@pytest.mark.parametrize(("session", "signed"), [(STRANGER, False), (LOGIN, True), (TRUSTED, True)])
async def test_our_own_is_signed_and_never_rewritten(directory, returns, session, signed) -> None:
    found = await senders(directory, returns, letter(ANN, Recipient(FAR), session=session))
    assert (found[FAR].startswith("prvs="), opened(found[FAR])) == ((True, ANN) if signed else (False, None))


@pytest.mark.parametrize("sender", ["", ANN, OUTSIDE])
async def test_nothing_happens_where_nothing_was_said(directory, sender) -> None:
    message = letter(sender, Recipient(FAR), session=STRANGER)
    assert await ReturnPath(directory, ReturnPaths())(message) is message
    bounce = letter("", Recipient(FAR))
    assert await ReturnPath(directory, ReturnPaths(SRS, BATV))(bounce) is bounce


async def test_a_bounce_goes_on_to_whom_the_address_stands_for(route) -> None:
    back = SRS.forward(OUTSIDE, time.time())
    assert route.at_recipient(STRANGER, "", back) is None
    assert await route(letter("", Recipient(back))) == To("remote", (OUTSIDE,))
    tagged = BATV.sign("Ann+shop@example.org", time.time())
    assert route.at_recipient(STRANGER, "", tagged) is None
    assert await route(letter("", Recipient(tagged))) == To("local", (ANN,))


@pytest.mark.parametrize(
    "address",
    [
        "SRS0=abcd=7H=elsewhere.test=someone@example.org",
        SRS.forward(OUTSIDE, time.time()).replace("example.org", "second.test"),
        SRS.forward(OUTSIDE, time.time() - 30 * 86_400.0),
        "prvs=0462000000=ann@example.org",
        BATV.sign(ANN, time.time() - 10 * 86_400.0),
        BATV.sign("nobody@example.org", time.time()),
    ],
)
@pytest.mark.parametrize("sender", ["", OUTSIDE])
async def test_a_forged_or_old_one_is_nobody(route, sender, address) -> None:
    assert route.at_recipient(STRANGER, sender, address) == NO_SUCH_USER
    assert await route(letter(sender, Recipient(address))) == NO_SUCH_USER


async def test_others_tags_are_theirs(route) -> None:
    for address in ("prvs=0462000000=x@other.test", "SRS0=abcd=7H=elsewhere.test=someone@other.test"):
        assert await route(letter(ANN, Recipient(address), session=LOGIN)) == To("remote")


@pytest.mark.parametrize(
    ("sender", "recipient", "session", "refused"),
    [
        ("", ANN, STRANGER, True),
        ("", "Ann+shop@Example.ORG", STRANGER, True),
        ("", "anns@example.org", STRANGER, True),
        ("", "out@example.org", STRANGER, False),  # nobody sends in its name
        ("", "list@example.org", STRANGER, False),
        ("", "postmaster@example.org", STRANGER, False),
        ("", "postmaster", STRANGER, False),
        ("", FAR, STRANGER, False),
        ("", ANN, LOGIN, False),
        ("", ANN, TRUSTED, False),
        (OUTSIDE, ANN, STRANGER, False),
    ],
)
async def test_a_bounce_of_what_was_never_sent_is_refused(route, sender, recipient, session, refused) -> None:
    route.returns.batv = Batv((b"other secret",), True, frozenset({"list@example.org"}))
    assert route.at_recipient(session, sender, recipient) == (NOT_OURS if refused else None)
    route.returns.batv = Batv((b"other secret",))
    assert route.at_recipient(session, sender, recipient) is None


# -- VERP

FAR_ONES = (Recipient(FAR), Recipient("x@other.test"))


def is_verp(found: dict[str, str], message: Message) -> bool:
    """Whether each recipient has an address of its own, which stands for it and this message."""
    opened = {recipient: VERP.open(sender, time.time()) for recipient, sender in found.items()}
    return all(one and (one.recipient, one.message) == (to, str(message.id)[:16]) for to, one in opened.items())


@pytest.mark.parametrize(
    ("sender", "facts", "session", "verp"),
    [
        ("news@example.org", {}, LOGIN, True),
        ("News@Example.ORG", {}, TRUSTED, True),
        ("any@shop.test", {}, TRUSTED, True),  # in no domain of ours: bounces come here all the same
        (ANN, {"tenant.name": "acme"}, LOGIN, True),
        (ANN, {"tenant.name": "other"}, LOGIN, False),
        (ANN, {}, LOGIN, False),
        ("news@example.org", {}, STRANGER, False),
        ("", {}, LOGIN, False),
    ],
)
async def test_mail_of_those_who_are_chosen_has_a_sender_for_each_recipient(
    directory, sender, facts, session, verp
) -> None:
    message = letter(sender, *FAR_ONES, session=session).with_facts(facts)
    verdict = await ReturnPath(directory, ReturnPaths(SRS, None, VERP))(message)
    goes = verdict.verdicts if isinstance(verdict, Each) else dict.fromkeys(message.recipients, verdict)
    found = {to: goes[to].sender for to in message.recipients}
    assert is_verp(found, message) is verp
    assert verp or sender == "" or not VERP.is_tagged(found[FAR])


async def test_it_stands_in_place_of_batv_and_beside_it(directory) -> None:
    returns = ReturnPaths(SRS, BATV, VERP)
    news, ann = letter("news@example.org", Recipient(FAR), session=LOGIN), letter(ANN, Recipient(FAR), session=LOGIN)
    assert is_verp(await senders(directory, returns, news), news)
    (sender,) = (await senders(directory, returns, ann)).values()
    assert BATV.open(sender, time.time()) == ANN
    again = letter(VERP.sign(news.id, FAR), Recipient(FAR), session=TRUSTED)
    assert is_verp(await senders(directory, returns, again), news), "another server of ours has signed it"


@pytest.mark.parametrize("lists", [True, False])
async def test_lists_are_known_by_their_field(directory, lists) -> None:
    message = letter(ANN, Recipient(FAR), session=LOGIN).with_header("List-Id", "<all.example.org>")
    returns = ReturnPaths(verp=Verp("bounces@example.org", (b"third",), 86_400.0, lists=lists))
    (sender,) = (await senders(directory, returns, message)).values()
    assert returns.is_tagged(sender) is lists


async def test_a_report_to_such_an_address_is_taken_whether_or_not_it_is_a_mailbox(directory, route) -> None:
    route.returns.verp = VERP
    address = VERP.sign(MessageId.new(), FAR)
    assert route.at_recipient(STRANGER, "", address) is None  # and BATV wants no tag of it
    assert await route(letter("", Recipient(address))) == NO_SUCH_USER
    directory.add_account("bounces@example.org")
    assert await route(letter("", Recipient(address))) == To("local", ("bounces@example.org",))


async def test_a_forged_or_old_one_stands_for_nobody(directory, route) -> None:
    directory.add_account("bounces@example.org")
    route.returns.verp = VERP
    forged = VERP.sign(MessageId.new(), FAR).replace("far", "near")
    old = VERP.sign(MessageId.new(time.time() - 30 * 86_400.0), FAR)
    for address in (forged, old):
        assert route.at_recipient(STRANGER, "", address) == NO_SUCH_USER
    assert route.at_recipient(STRANGER, "", "bounces+shop@example.org") == NOT_OURS  # an account with a tag of its own


async def test_a_forwarder_far_away_may_have_rewritten_it(directory) -> None:
    """Their SRS opens to our address; ours, of what we forward ourselves, leaves theirs alone."""
    address = VERP.sign(MessageId.new(), FAR)
    theirs = Srs("forwarder.test", (b"theirs",), 21 * 86_400.0)
    assert theirs.reverse(theirs.forward(address, time.time()), time.time()) == address
